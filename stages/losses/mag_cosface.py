"""Mag-CosFace: MagFace's margin, taken off the cosine (arXiv 2103.06627; published code).

z_y = s (cos theta_y - m(a)), a = |f| clamped to [l_a, u_a], m(a) = l_m + K (a - l_a),
K = (u_m - l_m) / (u_a - l_a); the loss adds lambda_g times the mean of g(a) = a / u_a^2 + 1 / a.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from stages.core.magnitudes import Magnitudes
from stages.losses._margin import MagnitudeMargin, Margin


class Params(Magnitudes):
    """Settings; the defaults are those of the published run."""

    l_m: float = Field(0.35, ge=0)  # margins, cosine
    u_m: float = Field(0.8, ge=0)
    lambda_g: float = Field(150.0, ge=0)


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
