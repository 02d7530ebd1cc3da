"""MagFace (arXiv 2103.06627): the margin grows with the magnitude, which a penalty drives up.

z_y = s cos(theta_y + m(a)), a = |f| clamped to [l_a, u_a], m(a) = l_m + K (a - l_a),
K = (u_m - l_m) / (u_a - l_a); the loss adds lambda_g times the mean of g(a) = a / u_a^2 + 1 / a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from pydantic import Field
from torch import Tensor

from stages.core.magnitudes import Magnitudes
from stages.losses._margin import MagnitudeMargin, Margin, add_angle

PI = 3.141592653589793
ROOM = 1.1  # between observed magnitudes and proposed bounds
SPREAD = 11.0  # u_a / l_a of the paper
BOUND_TO_LAMBDA = 1.55  # lambda_g over its lower bound, of the paper: 35 / 22.59


class Params(Magnitudes):
    """Settings; the defaults are the paper's."""

    l_m: float = Field(0.45, ge=0, lt=PI)  # margins, radians
    u_m: float = Field(0.8, ge=0, lt=PI)
    lambda_g: float = Field(35.0, ge=0)
    easy: bool = True  # no margin from 90 degrees on, as in the published models


class MagFace(MagnitudeMargin):
    """The target's angle, plus m(a); a penalty that falls as a grows."""

    def __init__(self, params: Params) -> None:
        super().__init__(params.scale, (params.l_a, params.u_a), (params.l_m, params.u_m))
        self.params = params
        self.penalty_weight = params.lambda_g

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        return add_angle(cosine, self.margin(norm), self.params.easy)


def build(params: Params) -> Margin:
    """MagFace with these settings."""
    return MagFace(params)


def propose(magnitudes: Iterable[float], params: Params | None = None) -> Params:
    """Settings to finetune an existing model with, from the magnitudes of its embeddings.

    The method's authors advise l_a below and u_a above all magnitudes of the model: samples
    outside get no gradient from margin and penalty. Here these are the paper's settings in the
    model's unit of magnitude: u_a is 11 l_a, or more if the model needs it, and lambda_g is in
    the paper's proportion to its lower bound. Scale, margins and branch are those of `params`.

    Args:
        magnitudes: lengths of raw embeddings; a few thousand are plenty.
        params: default: the paper's.

    Raises:
        ValueError: no magnitudes, or one that is not finite and positive.
    """
    values = [float(magnitude) for magnitude in magnitudes]
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("magnitudes must be finite and positive, and at least one")
    l_a = _two_digits(min(values) / ROOM, math.floor)
    u_a = _two_digits(max(max(values) * ROOM, SPREAD * l_a), math.ceil)
    bounded = (params or Params()).model_copy(update={"l_a": l_a, "u_a": u_a})
    lambda_g = _two_digits(BOUND_TO_LAMBDA * bounded.minimum_lambda_g, math.ceil)
    return bounded.model_copy(update={"lambda_g": lambda_g})


def _two_digits(value: float, towards: Callable[[float], int]) -> float:
    """`value` to two significant digits, rounded down or up; 0 for what is not positive."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{towards(value / unit) * unit:.3g}")
