"""SCF's loss: exact values by default, the reference's by its guard."""

import re

import numpy as np
import torch

from stages.heads import scf
from tests.goldens import golden
from tests.heads.recipes import RECIPE

REFERENCE_GUARD = 1e-6
PREFIX = re.compile(r"(d(\d+)_r([\d.]+))__true_losses")


def cases(z):
    """(prefix, radius) of every case in the file."""
    found = [match for key in z.files if (match := PREFIX.fullmatch(key))]
    assert found
    return [(match[1] + "__", float(match[3])) for match in found]


def loss_and_gradients(z, prefix: str, params: scf.Params):
    """In float64, from the reference's float32 inputs; gradients of the mean."""
    mu = torch.from_numpy(z[prefix + "mu"]).double().requires_grad_()
    log_kappa = torch.from_numpy(z[prefix + "kappa"][:, 0]).double().log().requires_grad_()
    centre = torch.from_numpy(z[prefix + "wc"]).double() / params.radius
    losses = scf.loss(mu, log_kappa, centre, None, params)
    losses.mean().backward()
    return losses.detach().numpy(), log_kappa.grad.numpy(), mu.grad.numpy()


@golden("scf/scf_loss*.npz")
def test_exact(file):
    z = np.load(file)
    for prefix, radius in cases(z):
        losses, slope, _ = loss_and_gradients(z, prefix, scf.Params(**RECIPE, radius=radius))
        np.testing.assert_allclose(losses, z[prefix + "true_losses"], rtol=1e-10)
        slope = slope * len(losses) / z[prefix + "kappa"][:, 0]
        expected = z[prefix + "true_dloss_dkappa"]
        np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-12)


@golden("scf/scf_loss*.npz")
def test_guarded_as_the_reference(file):
    z = np.load(file)
    for prefix, radius in cases(z):
        params = scf.Params(**RECIPE, radius=radius, guard=REFERENCE_GUARD)
        losses, slope, direction = loss_and_gradients(z, prefix, params)
        # The reference adds terms of the size of kappa in float32.
        terms = np.max([np.abs(z[f"{prefix}ref_l{i}"]) for i in (1, 2, 3)], axis=0)[:, 0]
        rounding = 4 * np.finfo(np.float32).eps * terms
        assert (
            np.abs(losses - z[prefix + "ref_losses"][:, 0]) <= 1e-5 * np.abs(losses) + rounding
        ).all()
        np.testing.assert_allclose(losses.mean(), z[prefix + "ref_mean"], rtol=1e-5)
        expected = z[prefix + "ref_grad_log_kappa_of_mean"][:, 0]
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=rounding.max())
        np.testing.assert_allclose(
            direction, z[prefix + "ref_grad_mu_of_mean"], rtol=1e-5, atol=1e-5
        )


@golden("scf/scf_loss*.npz")
def test_float32_against_the_exact_values(file):
    z = np.load(file)
    for prefix, radius in cases(z):
        params = scf.Params(**RECIPE, radius=radius)
        mu = torch.from_numpy(z[prefix + "mu"])
        log_kappa = torch.from_numpy(z[prefix + "log_kappa"][:, 0])
        centre = torch.from_numpy(z[prefix + "wc"]) / params.radius
        losses = scf.loss(mu, log_kappa, centre, None, params)
        rounding = 1e-6 * z[prefix + "kappa"][:, 0]
        exact = z[prefix + "true_losses"]
        assert (np.abs(losses.numpy() - exact) <= 1e-5 * np.abs(exact) + rounding).all()


def minimiser(cosine: np.ndarray, dimensions: int, guard: float) -> np.ndarray:
    """kappa with a zero slope for each cosine: bisection in log kappa."""
    params = scf.Params(**RECIPE, radius=1.0, guard=guard)
    mu = torch.zeros(len(cosine), dimensions, dtype=torch.float64)
    centre = torch.zeros_like(mu)
    mu[:, 0] = 1
    centre[:, 0] = torch.from_numpy(cosine)
    low, high = torch.full((2, len(cosine)), -8.0, dtype=torch.float64)
    high = high + 30
    for _ in range(80):
        middle = ((low + high) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(scf.loss(mu, middle, centre, None, params).sum(), middle)
        rising = slope > 0
        low = torch.where(rising, low, middle.detach())
        high = torch.where(rising, middle.detach(), high)
    return low.exp().numpy()


@golden("scf/scf_loss*.npz")
def test_minimum_by_cosine(file):
    """A_d(kappa) = cos; under the guard 255 / (1 - cos) instead, where ive is below it."""
    z = np.load(file)
    if "opt_cos" not in z:
        return
    cosine = z["opt_cos"]
    # 255 / (1 - cos) of 512 dimensions, by the array's name.
    (name,) = (key for key in z.files if re.fullmatch(r"opt_kappa_\d+_over_1mcos", key))
    dimensions = 2 * (int(re.search(r"\d+", name)[0]) + 1)
    exact = minimiser(cosine, dimensions, guard=0.0)
    known = z["opt_kappa_true"] > 0
    np.testing.assert_allclose(exact[known], z["opt_kappa_true"][known], rtol=1e-6)
    guarded = minimiser(cosine, dimensions, guard=REFERENCE_GUARD)
    np.testing.assert_allclose(guarded, z["opt_kappa_ref_guarded"], rtol=1e-4)
    np.testing.assert_allclose((dimensions / 2 - 1) / (1 - cosine), z[name])
