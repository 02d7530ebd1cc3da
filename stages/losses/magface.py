"""MagFace (arXiv 2103.06627): the margin grows with the magnitude, which a penalty drives up.

z_y = s cos(theta_y + m(a)), a = |f| clamped to [l_a, u_a], m(a) = l_m + K (a - l_a),
K = (u_m - l_m) / (u_a - l_a); the loss adds lambda_g times the mean of g(a) = a / u_a^2 + 1 / a.
"""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import Margin, add_angle, full_precision

PI = 3.141592653589793


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


class MagFace(Margin):
    """The target's angle, plus m(a); a penalty that falls as a grows."""

    def __init__(self, params: Params) -> None:
        super().__init__(params.scale)
        self.params = params
        self.penalty_weight = params.lambda_g

    @property
    def slope(self) -> float:
        """K: radians of margin a unit of magnitude."""
        p = self.params
        return (p.u_m - p.l_m) / (p.u_a - p.l_a)

    @property
    def minimum_lambda_g(self) -> float:
        """lambda_g that makes the loss fall with the magnitude at l_a whatever the angle."""
        p = self.params
        return p.scale * self.slope * p.u_a**2 * p.l_a**2 / (p.u_a**2 - p.l_a**2)

    def magnitude(self, norm: Tensor) -> Tensor:
        """a [B]; no gradient outside [l_a, u_a], so only the angle trains such samples."""
        return full_precision(norm).clamp(self.params.l_a, self.params.u_a)

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        p = self.params
        margin = p.l_m + self.slope * (self.magnitude(norm) - p.l_a)
        return add_angle(cosine, margin, p.easy)

    def penalty(self, norm: Tensor) -> Tensor:
        """g(a) [B]: convex, falling up to its minimum at u_a."""
        a = self.magnitude(norm)
        return a / self.params.u_a**2 + 1 / a


def build(params: Params) -> Margin:
    """MagFace with these settings."""
    return MagFace(params)
