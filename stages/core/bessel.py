"""log of the exponentially scaled modified Bessel function, any real order, on the device.

    log ive_v(k) = log I_v(k) - k

is what the von Mises-Fisher density on a d-sphere needs, v = d/2 - 1 (SCF, CVPR 2021). I_255
underflows float64 below k = 13 and float32 below k = 309, so its logarithm is computed directly: by
Debye's uniform asymptotic expansion (NIST DLMF 10.41.3), and for small orders by stepping down
from an order where that expansion holds.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Terms of the expansion by smallest order: what is left out is below 1e-12 of log I in float64 and
# below 1e-7 in float32 for every k. Smaller orders are reached by recurrence.
TERMS = {
    torch.float64: {127: 4, 63: 5, 31: 7, 15: 10},
    torch.float32: {63: 2, 31: 3, 15: 4},
}
SMALLEST_EXPANDED = 15

Polynomial = dict[int, Fraction]  # coefficient by power of t


def log_ive(order: float, kappa: Tensor) -> Tensor:
    """log(exp(-kappa) I_order(kappa)), with its analytic derivative A + order / kappa - 1.

    A = I_{order + 1} / I_order is A_d(kappa), the mean cosine of the von Mises-Fisher density in
    d = 2 order + 2 dimensions.

    Args:
        order: v >= 0.
        kappa: > 0, any shape; half precision is computed in float32.

    Returns:
        a tensor like kappa. In float64 the error of log I_v is below 1e-10, or below 4 ULP where
        that is more.
    """
    if order < 0:
        raise ValueError(f"order {order} is negative")
    return _LogIve.apply(kappa if kappa.dtype in TERMS else kappa.float(), float(order))


class _LogIve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kappa: Tensor, order: float) -> Tensor:
        steps = max(0, math.ceil(SMALLEST_EXPANDED - order))
        wants_ratio = steps > 0 or ctx.needs_input_grad[0]
        value, ratio = _expand(order + steps, kappa, wants_ratio)
        for upper in range(steps, 0, -1):
            # I_{v-1} = I_{v+1} + (2 v / k) I_v divided by I_v; stable in this direction alone.
            ratio = (ratio + 2 * (order + upper) / kappa).reciprocal_()
            value = value - ratio.log()
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(ratio.add_(order / kappa).sub_(1))
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (derivative,) = ctx.saved_tensors
        return gradient * derivative, None


def _expand(v: float, kappa: Tensor, wants_ratio: bool) -> tuple[Tensor, Tensor | None]:
    """(log ive_v, I_{v+1} / I_v) by Debye's expansion in z = k / v, R = sqrt(1 + z^2), t = 1 / R.

    log I_v(v z) = v eta - log(2 pi v R) / 2 + P(t),  eta = R - asinh(1 / z),
    P(t) = D_1(t) / v + D_2(t) / v^2 + ..; its derivative in k gives
    I_{v+1} / I_v = (R - 1) / z - (z / v) (t^2 / 2 + t^3 P'(t)).
    """
    even, odd, slope_even, slope_odd = _coefficients(v, _terms(v, kappa.dtype))
    z = kappa / v
    root = (z * z).add_(1).sqrt_()
    t = root.reciprocal()
    t2 = t * t
    # R - z = 1 / (R + z), so that kappa is not subtracted from log I; asinh(1 / z) by log1p, which
    # is as exact and far faster than torch.asinh.
    gap = (z + root).reciprocal_()
    value = (gap - ((gap + 1).div_(z)).log1p_()).mul_(v)
    value.sub_(root.log().mul_(0.5)).sub_(0.5 * math.log(2 * math.pi * v))
    value.add_(_horner(odd, t2).mul_(t)).add_(_horner(even, t2))
    if not wants_ratio:
        return value, None
    slope = _horner(slope_odd, t2).mul_(t).add_(_horner(slope_even, t2))
    return value, (root.add_(1).reciprocal_().sub_(slope.div_(v))).mul_(z)


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Polynomial in x, coefficients from the highest power down to the constant."""
    value = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        value.add_(coefficient).mul_(x)
    return value.add_(coefficients[-1])


def _terms(v: float, dtype: torch.dtype) -> int:
    return next(terms for smallest, terms in TERMS[dtype].items() if v >= smallest)


@lru_cache
def _coefficients(v: float, terms: int) -> tuple[tuple[float, ...], ...]:
    """P(t) and t^2 / 2 + t^3 P'(t) as polynomials in t^2: (even, odd / t) parts of each."""
    value: dict[int, float] = {}
    for k, polynomial in enumerate(_log_debye(terms), start=1):
        for power, coefficient in polynomial.items():
            value[power] = value.get(power, 0.0) + float(coefficient) / v**k
    slope = {power + 2: power * coefficient for power, coefficient in value.items()}
    slope[2] = slope.get(2, 0.0) + 0.5
    return tuple(_descending(p, parity) for p in (value, slope) for parity in (0, 1))


def _descending(polynomial: dict[int, float], parity: int) -> tuple[float, ...]:
    """Coefficients of the powers of one parity, as of a polynomial in t^2, highest first."""
    highest = max(power for power in polynomial if power % 2 == parity)
    return tuple(polynomial.get(power, 0.0) for power in range(highest, -1, -2))


@lru_cache
def _log_debye(terms: int) -> list[Polynomial]:
    """D_1 .. D_terms with sum D_k / v^k = log(1 + sum u_k / v^k).

    u_{k+1} = t^2 (1 - t^2) u_k' / 2 + (integral from 0 to t of (1 - 5 s^2) u_k ds) / 8
    (DLMF 10.41.9); k u_k = sum_j j D_j u_{k-j} by differentiating the exponential.
    """
    u: list[Polynomial] = [{0: Fraction(1)}]
    logs: list[Polynomial] = []
    for k in range(1, terms + 1):
        u.append(_next_debye(u[-1]))
        series = {power: k * coefficient for power, coefficient in u[k].items()}
        for j, d in enumerate(logs, start=1):
            for p, a in d.items():
                for q, b in u[k - j].items():
                    series[p + q] = series.get(p + q, Fraction(0)) - j * a * b
        logs.append({power: c / k for power, c in series.items() if c})
    return logs


def _next_debye(u: Polynomial) -> Polynomial:
    following: Polynomial = {}
    for power, c in u.items():
        up, past = c * Fraction(power, 2), c / 8
        following[power + 1] = following.get(power + 1, Fraction(0)) + up + past / (power + 1)
        following[power + 3] = following.get(power + 3, Fraction(0)) - up - 5 * past / (power + 3)
    return {power: c for power, c in following.items() if c}
