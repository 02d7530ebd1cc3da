"""CosFace (arXiv 1801.09414): z_y = s (cos theta_y - m)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import Margin


class Params(Section):
    """Settings; the defaults are the paper's."""

    scale: float = Field(64.0, gt=0)
    margin: float = Field(0.35, ge=0)  # the paper's; BTNet takes 0.4


class CosFace(Margin):
    """The target's cosine, less m."""

    def __init__(self, scale: float, margin: float) -> None:
        super().__init__(scale)
        self.margin = margin

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        return cosine - self.margin


def build(params: Params) -> Margin:
    """CosFace with these settings."""
    return CosFace(params.scale, params.margin)
