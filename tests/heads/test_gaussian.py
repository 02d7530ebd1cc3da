"""Gaussian heads, and PFE's recipe for the density on the sphere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from stages.heads import pfe_g, pfe_v, scf_g
from stages.heads._gaussian import mutual_likelihood
from stages.heads._scores import Gaussian
from stages.heads._vmf import mutual_likelihood as vmf_mutual_likelihood
from tests.heads.recipes import RECIPE

LABELS = torch.tensor([4, 1, 4, 1, 4, 0])


@pytest.fixture
def mu() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(vectors)


def test_score_is_the_overlap_of_two_densities() -> None:
    """One dimension: twice the log of the integral of p1 p2, less log 2 pi."""
    m1, m2, s1, s2 = 0.3, -0.4, 0.2, 0.5
    x = np.linspace(-12, 12, 200_001)
    density = [np.exp(-((x - m) ** 2) / (2 * s)) / math.sqrt(2 * math.pi * s)
               for m, s in ((m1, s1), (m2, s2))]  # fmt: skip
    overlap = integrate.trapezoid(density[0] * density[1], x)
    sides = [torch.tensor([[value]], dtype=torch.float64) for value in (m1, m2, s1, s2)]
    score = mutual_likelihood((sides[0], sides[1]), (sides[2], sides[3]))
    assert score.item() == pytest.approx(2 * math.log(overlap) + math.log(2 * math.pi), abs=1e-9)


def test_one_variance_is_the_same_in_all_dimensions(mu) -> None:
    one = torch.rand(6, 1, dtype=torch.float64) + 0.1
    whole = one.expand_as(mu)
    scores = [mutual_likelihood((mu, mu.flip(0)), (s, s.flip(0))) for s in (one, whole)]
    torch.testing.assert_close(*scores)
    left, right = np.array([0, 3]), np.array([5, 3])
    pairs = [Gaussian(mu.numpy(), s.numpy())(left, right) for s in (one, whole)]
    np.testing.assert_allclose(*pairs, rtol=1e-6)


def test_losses_are_over_genuine_pairs_alone(mu) -> None:
    logs = torch.linspace(-3, 1, 48, dtype=torch.float64).reshape(6, 8)
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j and LABELS[i] == LABELS[j]]
    expected = np.mean([
        sum(float((mu[i, k] - mu[j, k]) ** 2 / v + math.log(v))
            for k in range(8) for v in [math.exp(logs[i, k]) + math.exp(logs[j, k])])
        for i, j in pairs
    ])  # fmt: skip
    losses = pfe_g.loss(mu, logs, None, LABELS, pfe_g.Params(**RECIPE))
    assert len(losses) == 4
    assert losses.mean().item() == pytest.approx(expected)
    kappa = logs[:, 0].exp() * 100
    expected = np.mean([
        -vmf_mutual_likelihood((mu[i] @ mu[j])[None], (kappa[i, None], kappa[j, None]), 8).item()
        for i, j in pairs
    ])  # fmt: skip
    losses = pfe_v.loss(mu, kappa.log(), None, LABELS, pfe_v.Params(**RECIPE))
    assert losses.mean().item() == pytest.approx(expected)


def test_scf_g_is_minus_the_log_density_at_the_centre(mu) -> None:
    centre = mu.roll(1, 0)
    logs = torch.linspace(-4, 1, 6, dtype=torch.float64)
    losses = scf_g.loss(mu, logs, centre, LABELS, scf_g.Params(**RECIPE))
    for row in range(6):
        density = torch.distributions.Normal(mu[row], (logs[row] / 2).exp())
        assert losses[row].item() == pytest.approx(-density.log_prob(centre[row]).sum().item())
    diagonal = logs[:, None] + torch.linspace(-1, 1, 8, dtype=torch.float64)
    losses = scf_g.loss(mu, diagonal, centre, LABELS, scf_g.Params(**RECIPE, diagonal=True))
    density = torch.distributions.Normal(mu, (diagonal / 2).exp())
    torch.testing.assert_close(losses, -density.log_prob(centre).sum(1))


def test_scf_g_has_its_minimum_at_the_mean_squared_distance(mu) -> None:
    centre = mu.roll(1, 0)
    best = ((centre - mu).square().sum(1) / 8).log().requires_grad_()
    scf_g.loss(mu, best, centre, LABELS, scf_g.Params(**RECIPE)).sum().backward()
    torch.testing.assert_close(best.grad, torch.zeros_like(best), atol=1e-12, rtol=0)


def test_shapes_of_outputs() -> None:
    body = torch.randn(4, 6, 7, 7)
    for heads, settings, shape in (
        (pfe_g, {"hidden": [5]}, (4, 10)),
        (scf_g, {}, (4,)),
        (scf_g, {"diagonal": True, "form": "convolutional"}, (4, 10)),
        (pfe_v, {}, (4,)),
    ):
        head = heads.build(heads.Params(**RECIPE, **settings), (6, 7, 7), 10)
        assert head(body).shape == shape
        assert all(len(value) == 4 for value in heads.confidences(head(body)).values())


def test_pfe_starts_at_its_published_variance() -> None:
    head = pfe_g.build(pfe_g.Params(**RECIPE), (6, 7, 7), 10)
    logs = head(torch.randn(64, 6, 7, 7))
    torch.testing.assert_close(logs, torch.full_like(logs, math.log(1e-6 + math.exp(-7))),
                               atol=1e-3, rtol=0)  # fmt: skip


def test_precision_is_one_over_the_harmonic_mean() -> None:
    sigma2 = torch.tensor([[0.5, 2.0], [1.0, 4.0]])
    told = pfe_g.confidences(sigma2.log())
    torch.testing.assert_close(told["precision"], torch.tensor([1.25, 0.625]))
    torch.testing.assert_close(told["sigma2"], sigma2)
