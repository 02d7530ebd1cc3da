"""MagFace (arXiv 2103.06627): the margin grows with the magnitude, which a penalty drives up.

z_y = s cos(theta_y + m(a)), a = |f| clamped to [l_a, u_a], m(a) = l_m + K (a - l_a),
K = (u_m - l_m) / (u_a - l_a); the loss adds lambda_g times the mean of g(a) = a / u_a^2 + 1 / a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from pydantic import Field, model_validator
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import MagnitudeMargin, Margin, add_angle

PI = 3.141592653589793
ROOM = 1.1  # between observed magnitudes and proposed bounds
SPREAD = 11.0  # u_a / l_a of the paper
BOUND_TO_LAMBDA = 1.55  # lambda_g over its lower bound, of the paper: 35 / 22.59


class Params(Section):
    """Settings; the defaults are the paper's."""

    scale: float = Field(64.0, gt=0)
    l_a: float = Field(10.0, gt=0)  # magnitudes: lower and upper bound
    u_a: float = Field(110.0, gt=0)
    l_m: float = Field(0.45, ge=0, lt=PI)  # margins there, radians
    u_m: float = Field(0.8, ge=0, lt=PI)
    lambda_g: float = Field(35.0, ge=0)  # weight of the penalty; see `minimum_lambda_g`
    easy: bool = True  # no margin from 90 degrees on, as in the published models

    @model_validator(mode="after")
    def _ordered(self) -> Params:
        if not self.l_a < self.u_a:
            raise ValueError("l_a must be below u_a")
        return self

    @property
    def minimum_lambda_g(self) -> float:
        """lambda_g from which the loss falls with the magnitude at l_a, whatever the angle.

        s K u_a^2 l_a^2 / (u_a^2 - l_a^2), K = (u_m - l_m) / (u_a - l_a).
        """
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        return self.scale * slope * self.u_a**2 * self.l_a**2 / (self.u_a**2 - self.l_a**2)

    def warning(self) -> str | None:
        """What is doubtful about these settings, if anything."""
        if self.lambda_g >= self.minimum_lambda_g:
            return None
        return (
            f"lambda_g {self.lambda_g:g} is below {self.minimum_lambda_g:.4g}, from which on "
            f"magnitudes are driven up from l_a; below it they may shrink to l_a and stay"
        )


class MagFace(MagnitudeMargin):
    """The target's angle, plus m(a); a penalty that falls as a grows."""

    def __init__(self, params: Params) -> None:
        super().__init__(params.scale, (params.l_a, params.u_a), (params.l_m, params.u_m))
        self.params = params
        self.penalty_weight = params.lambda_g

    @property
    def minimum_lambda_g(self) -> float:
        """See `Params.minimum_lambda_g`."""
        return self.params.minimum_lambda_g

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
