"""log I_v and its derivative against 50-digit values, and what the reference computed instead."""

import re

import numpy as np
import torch

from stages.core.bessel import log_ive
from tests.goldens import golden

GUARD = 1e-6


def orders(z) -> list[tuple[str, float]]:
    """(suffix, order) of every dimension in the file."""
    names = [key for key in z.files if key.startswith("logI_true_d")]
    suffixes = [re.search(r"d(\d+)$", name)[1] for name in names]
    return [(f"_d{d}", int(d) / 2 - 1) for d in suffixes]


def value_and_slope(order: float, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kappa = torch.from_numpy(kappa).requires_grad_()
    value = log_ive(order, kappa)
    value.sum().backward()
    return value.detach().numpy(), kappa.grad.numpy() + 1


@golden("scf/log_bessel*.npz")
def test_true_values(file):
    z = np.load(file)
    kappa = z["kappa"]
    assert orders(z)
    for suffix, order in orders(z):
        value, slope = value_and_slope(order, kappa)
        true = z[f"logI_true{suffix}"]
        tolerance = np.maximum(1e-10, 4 * np.spacing(np.abs(true)))
        assert (np.abs(value + kappa - true) <= tolerance).all(), suffix
        if f"dlogI_dk_true{suffix}" in z:
            np.testing.assert_allclose(slope, z[f"dlogI_dk_true{suffix}"], rtol=1e-9)
        # A = slope - v / k cancels for small k: its error is that of the slope.
        ratio = slope - order / kappa
        if f"ratio_A_true{suffix}" in z:
            assert (np.abs(ratio - z[f"ratio_A_true{suffix}"]) <= 1e-9 * slope).all()
        if f"log_ive_true{suffix}" in z:
            np.testing.assert_allclose(value, z[f"log_ive_true{suffix}"], rtol=1e-12, atol=1e-10)
        if f"amos_lower{suffix}" in z:
            slack = 1e-12 * slope
            assert (ratio >= z[f"amos_lower{suffix}"] - slack).all()
            assert (ratio <= z[f"amos_upper{suffix}"] + slack).all()


@golden("scf/log_bessel*.npz")
def test_scipy_where_it_does_not_underflow(file):
    z = np.load(file)
    for suffix, order in orders(z):
        if f"scipy_ive_f64{suffix}" not in z:
            continue
        expected = z[f"scipy_ive_f64{suffix}"]
        known = expected > np.finfo(np.float64).tiny
        value, _ = value_and_slope(order, z["kappa"])
        np.testing.assert_allclose(np.exp(value)[known], expected[known], rtol=1e-11)


@golden("scf/log_bessel*.npz")
def test_the_references_guard_replaces_the_bessel_term(file):
    """log(1e-6 + ive) + k, from our log ive, is what the reference got."""
    z = np.load(file)
    kappa = z["kappa"]
    for suffix, order in orders(z):
        if f"ref_logI_f32{suffix}" not in z:
            continue
        value, slope = value_and_slope(order, kappa)
        scaled = np.exp(value)
        guarded = np.log(GUARD + scaled) + kappa
        np.testing.assert_allclose(guarded, z[f"ref_logI_f32{suffix}"], rtol=1e-6, atol=1e-4)
        guarded_slope = scaled / (GUARD + scaled) * (slope - 1) + 1
        expected = z[f"ref_dlogI_dk_f32{suffix}"]
        np.testing.assert_allclose(guarded_slope, expected, rtol=1e-4, atol=1e-6)
