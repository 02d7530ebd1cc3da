"""The magnitude at which MagFace's training settles first, known in closed form."""

import pytest
import torch

from stages.losses import magface
from stages.losses._classifier import Classifier

CLASSES, BATCH, EMBEDDING = 1000, 32, 256
LOWEST, HIGHEST = 0.32, 0.50  # cosines to the own centre: theta + m within 8 degrees of 90
STEPS, STEP_SIZE = 80, 12.0  # descent on magnitudes
WITHIN = 0.02


def test_magnitudes_settle_where_the_closed_form_says():
    """With p_y = 0 and sin(theta + m) = 1: a* = (1 / u_a^2 + s K / lambda_g)^(-1/2) = 12.42.

    That is the magnitude, and lambda_g g(a*) = 2.854 the penalty, which published training logs
    show after the first thousands of steps.
    """
    params = magface.Params()
    expected = (1 / 110**2 + 64 * (0.8 - 0.45) / (110 - 10) / 35) ** -0.5
    assert expected == pytest.approx(12.42, abs=0.005)

    torch.manual_seed(0)
    classifier = Classifier(EMBEDDING, CLASSES, magface.build(params))
    target = torch.randint(CLASSES, (BATCH,))
    direction = _directions(classifier.centres.detach()[target])
    magnitude = torch.empty(BATCH, 1).uniform_(10.5, 40).requires_grad_()
    for _ in range(STEPS):
        loss = classifier(magnitude * direction, target)
        (slope,) = torch.autograd.grad(BATCH * loss.total, magnitude)
        magnitude.data -= STEP_SIZE * slope

    assert magnitude.min().item() == pytest.approx(expected, rel=WITHIN)
    assert magnitude.max().item() == pytest.approx(expected, rel=WITHIN)
    assert params.lambda_g * loss.penalty.item() == pytest.approx(2.854, rel=WITHIN)


def _directions(centres: torch.Tensor) -> torch.Tensor:
    """Unit vectors at a cosine between LOWEST and HIGHEST to the centres, random otherwise."""
    unit = torch.nn.functional.normalize(centres)
    random = torch.randn(unit.shape)
    random -= (random * unit).sum(1, keepdim=True) * unit
    cosine = torch.empty(len(unit), 1).uniform_(LOWEST, HIGHEST)
    return cosine * unit + (1 - cosine**2).sqrt() * torch.nn.functional.normalize(random)
