"""ArcFace (arXiv 1801.07698): z_y = s cos(theta_y + m)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import Margin, add_angle

PI = 3.141592653589793


class Params(Section):
    """Settings; the defaults are the paper's."""

    scale: float = Field(64.0, gt=0)
    margin: float = Field(0.5, ge=0, lt=PI)  # radians
    easy: bool = False  # no margin at all from 90 degrees on


class ArcFace(Margin):
    """The target's angle, plus m."""

    def __init__(self, scale: float, margin: float, easy: bool) -> None:
        super().__init__(scale)
        self.margin = margin
        self.easy = easy

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        return add_angle(cosine, self.margin, self.easy)


def build(params: Params) -> Margin:
    """ArcFace with these settings."""
    return ArcFace(params.scale, params.margin, params.easy)
