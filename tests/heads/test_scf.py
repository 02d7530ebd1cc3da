import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate

from stages.heads import scf
from stages.heads._vmf import log_peak, mutual_likelihood
from tests.heads.recipes import RECIPE


def test_density_on_the_ordinary_sphere_integrates_to_one():
    """d = 3: the integral over the angle of C_3(k) exp(k cos) 2 pi sin."""
    for kappa in (1e-3, 0.5, 7.0, 300.0):
        peak = log_peak(torch.tensor(math.log(kappa), dtype=torch.float64), 3).item()
        total, _ = integrate.quad(
            lambda a, k=kappa, p=peak: (
                math.exp(p + k * (math.cos(a) - 1)) * 2 * math.pi * math.sin(a)
            ),
            0,
            math.pi,
            limit=200,
        )
        assert total == pytest.approx(1, rel=1e-7)


@pytest.mark.parametrize("dimensions", [2, 3, 16, 512])
def test_loss_from_the_density_in_fifty_digits(dimensions):
    """-log(C_d(k) exp(k cos)) + d log r, straight from the definition."""
    kappas, cosines, radius = [1e-3, 1.0, 30.0, 700.0, 2e4], [-0.5, 0.1, 0.7, 0.99, 1.0], 64.0
    mu = torch.zeros(5, dimensions, dtype=torch.float64)
    mu[:, 0] = torch.tensor(cosines)
    mu[:, 1] = (1 - mu[:, 0].square()).sqrt()
    centre = torch.zeros_like(mu)
    centre[:, 0] = 1
    expected = []
    with mpmath.workdps(50):
        v = mpmath.mpf(dimensions) / 2 - 1
        for k, c in zip(kappas, mu[:, 0].tolist(), strict=True):
            k = mpmath.mpf(math.exp(math.log(k)))
            density = k**v / ((2 * mpmath.pi) ** (v + 1) * mpmath.besseli(v, k)) * mpmath.exp(k * c)
            expected.append(float(-mpmath.log(density) + dimensions * mpmath.log(radius)))
    log_kappa = torch.tensor(kappas, dtype=torch.float64).log()
    losses = scf.loss(mu, log_kappa, centre, None, scf.Params(**RECIPE, radius=radius))
    np.testing.assert_allclose(losses, expected, rtol=1e-10, atol=1e-9)


def test_gradients_are_difference_quotients():
    generator = torch.Generator().manual_seed(0)
    mu = torch.nn.functional.normalize(torch.randn(4, 8, generator=generator, dtype=torch.float64))
    centre = torch.nn.functional.normalize(torch.randn(4, 8, generator=generator).double())
    log_kappa = torch.tensor([-1.0, 0.5, 3.0, 6.0], dtype=torch.float64, requires_grad=True)
    for guard in (0.0, 1e-6):
        params = scf.Params(**RECIPE, guard=guard)
        torch.autograd.gradcheck(lambda k, p=params: scf.loss(mu, k, centre, None, p), (log_kappa,))


def test_output_is_floored_and_never_overflows():
    head = scf.build(scf.Params(**RECIPE, hidden=[], floor=1e-6), shape=(1, 1, 1), embedding=8)
    with torch.no_grad():
        head.layers[0].weight.fill_(1)
        head.layers[0].bias.zero_()
    raw = torch.tensor([[-1e4], [-13.0], [0.0], [500.0]])
    log_kappa = head(raw).detach()
    assert log_kappa[0].item() == pytest.approx(math.log(1e-6))
    assert log_kappa[1].item() == pytest.approx(math.log(1e-6 + math.exp(-13)))
    assert log_kappa[2].item() == pytest.approx(1e-6, abs=1e-6)
    assert log_kappa[3].item() == pytest.approx(500)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(raw).dtype == torch.float32


def test_quality_is_kappa():
    told = scf.confidences(torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(told["kappa"].log(), torch.tensor([0.0, 2.0]))


def test_mutual_likelihood_is_the_overlap_of_two_densities():
    """d = 3, r = 1: the log of the integral of p1 p2 over the sphere."""
    mu1, mu2 = torch.eye(3, dtype=torch.float64)[:2]
    k1, k2 = torch.tensor([3.0, 11.0], dtype=torch.float64)

    polar, weight = np.polynomial.legendre.leggauss(60)  # in the cosine of the polar angle
    azimuth = np.arange(120) * 2 * np.pi / 120
    rim = np.sqrt(1 - polar**2)[:, None]
    points = np.stack(
        [polar[:, None] + 0 * azimuth, rim * np.cos(azimuth), rim * np.sin(azimuth)], axis=-1
    )
    logs = sum(
        log_peak(k.log(), 3).item() + k.item() * (points @ mu.numpy() - 1)
        for mu, k in ((mu1, k1), (mu2, k2))
    )
    overlap = (weight @ np.exp(logs)).sum() * 2 * np.pi / 120
    score = mutual_likelihood((mu1 @ mu2)[None], (k1[None], k2[None]), 3)
    assert score.item() == pytest.approx(math.log(overlap), abs=1e-10)


def test_opposite_faces_of_equal_confidence_have_a_finite_score():
    kappa = torch.tensor([500.0])
    assert torch.isfinite(mutual_likelihood(torch.tensor([-1.0]), (kappa, kappa), 512)).all()
