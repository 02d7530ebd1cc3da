"""Mag-CosFace: MagFace's margin, taken off the cosine (arXiv 2103.06627; published code).

z_y = s (cos theta_y - m(a)), a = |f| clamped to [l_a, u_a], m(a) = l_m + K (a - l_a),
K = (u_m - l_m) / (u_a - l_a); the loss adds lambda_g times the mean of g(a) = a / u_a^2 + 1 / a.
"""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import MagnitudeMargin, Margin


class Params(Section):
    """Settings; the defaults are those of the published run."""

    scale: float = Field(64.0, gt=0)
    l_a: float = Field(10.0, gt=0)  # magnitudes: lower and upper bound
    u_a: float = Field(110.0, gt=0)
    l_m: float = Field(0.35, ge=0)  # margins there, cosine
    u_m: float = Field(0.8, ge=0)
    lambda_g: float = Field(150.0, ge=0)  # weight of the penalty; see `minimum_lambda_g`

    @model_validator(mode="after")
    def _ordered(self) -> Params:
        if not self.l_a < self.u_a:
            raise ValueError("l_a must be below u_a")
        return self

    @property
    def minimum_lambda_g(self) -> float:
        """lambda_g from which the loss falls with the magnitude at l_a.

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


class MagCosFace(MagnitudeMargin):
    """The target's cosine, less m(a); a penalty that falls as a grows."""

    def __init__(self, params: Params) -> None:
        super().__init__(params.scale, (params.l_a, params.u_a), (params.l_m, params.u_m))
        self.penalty_weight = params.lambda_g

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        return cosine - self.margin(norm)


def build(params: Params) -> Margin:
    """Mag-CosFace with these settings."""
    return MagCosFace(params)
