import mpmath
import numpy as np
import pytest
import torch
from scipy import special

from stages.core.bessel import SMALLEST_EXPANDED, log_ive

KAPPAS = np.geomspace(1e-6, 1e8, 57)


def value_and_derivative(order: float, kappa, dtype=torch.float64) -> tuple[np.ndarray, np.ndarray]:
    kappa = torch.tensor(kappa, dtype=dtype, requires_grad=True)
    value = log_ive(order, kappa)
    value.sum().backward()
    return value.detach().double().numpy(), kappa.grad.double().numpy()


@pytest.mark.parametrize(
    "order", [0, 0.5, 1, 3.5, 14, 14.5, 15, 15.5, 30.5, 31, 62.5, 127, 255, 1023]
)
def test_against_fifty_digits(order):
    """I_v and I_{v+1} from mpmath, over fourteen decades of kappa."""
    value, derivative = value_and_derivative(order, KAPPAS)
    with mpmath.workdps(50):
        pairs = [[mpmath.besseli(order + up, mpmath.mpf(k)) for up in (0, 1)] for k in KAPPAS]
        true = np.array([float(mpmath.log(i)) for i, _ in pairs])
        slope = np.array(
            [float(j / i + order / mpmath.mpf(k)) for (i, j), k in zip(pairs, KAPPAS, strict=True)]
        )
    tolerance = np.maximum(1e-10, 4 * np.spacing(np.abs(true)))
    assert (np.abs(value + KAPPAS - true) <= tolerance).all()
    np.testing.assert_allclose(derivative + 1, slope, rtol=1e-9)


def test_order_one_half_is_elementary():
    """I_{1/2}(k) = sqrt(2 / (pi k)) sinh k."""
    expected = np.log(-np.expm1(-2 * KAPPAS)) - 0.5 * np.log(2 * np.pi * KAPPAS)
    value, _ = value_and_derivative(0.5, KAPPAS)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [0.0, 7.0, 255.0])
def test_equals_scipy_where_scipy_does_not_underflow(order):
    kappa = np.geomspace(max(0.1, order / 4), 1e6, 200)
    value, _ = value_and_derivative(order, kappa)
    np.testing.assert_allclose(value, np.log(special.ive(order, kappa)), rtol=1e-11, atol=1e-12)


def test_both_ways_agree_where_they_meet():
    """One order above the limit is expanded; from there the recurrence leads to one below."""
    below, above = SMALLEST_EXPANDED - 0.5, SMALLEST_EXPANDED + 0.5
    log_below, slope = value_and_derivative(below, KAPPAS)
    log_above, _ = value_and_derivative(above, KAPPAS)
    ratio = slope + 1 - below / KAPPAS  # I_{v+1} / I_v
    large = KAPPAS > 0.1  # below, the subtraction leaves no digits
    np.testing.assert_allclose(
        (log_above - log_below)[large], np.log(ratio[large]), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("order", [0.5, 7, 255])
def test_float32_is_as_good_as_float32_can_be(order):
    kappa = np.geomspace(1e-2, 1e5, 141).astype(np.float32)
    value, derivative = value_and_derivative(order, kappa, torch.float32)
    exact, slope = value_and_derivative(order, kappa.astype(np.float64))
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, exact, rtol=3e-6, atol=3e-5)
    np.testing.assert_allclose(derivative + 1, slope + 1, rtol=1e-5)


def test_shape_dtype_and_halves():
    kappa = torch.rand(2, 3) + 1
    assert log_ive(255, kappa).shape == (2, 3)
    assert log_ive(255, kappa).dtype == torch.float32
    half = kappa.to(torch.bfloat16)
    assert torch.equal(log_ive(255, half), log_ive(255, half.float()))


def test_negative_order_is_refused():
    with pytest.raises(ValueError, match="negative"):
        log_ive(-0.5, torch.ones(1))
