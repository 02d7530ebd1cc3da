"""CurricularFace (arXiv 2004.00288): ArcFace that turns to hard negatives as training goes on.

z_y = s cos(theta_y + m); a negative with cos theta_j > cos(theta_y + m) becomes
z_j = s cos theta_j (t + cos theta_j), where t follows the mean cosine of the targets: from 0,
t <- 0.99 t + 0.01 mean(cos theta_y) at every step, before its use.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import Margin, add_angle, cosine_of_sum

PI = 3.141592653589793


class Params(Section):
    """Settings; the defaults are the paper's."""

    scale: float = Field(64.0, gt=0)
    margin: float = Field(0.5, ge=0, lt=PI)  # radians
    momentum: float = Field(0.99, ge=0, le=1)  # share of t that a step keeps


class CurricularFace(Margin):
    """The target's angle, plus m; harder negatives, scaled by t + cos. `t` is a buffer."""

    def __init__(self, params: Params) -> None:
        super().__init__(params.scale)
        self.angle = params.margin
        self.momentum = params.momentum
        self.register_buffer("t", torch.zeros(()))

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        return add_angle(cosine, self.angle, easy=False)

    def others(self, cosine: Tensor, own: Tensor) -> Tensor:
        """The mask is against cos(theta_y + m) itself, also where the target's entry is not it."""
        threshold = cosine_of_sum(own.detach(), self.angle)[:, None]
        return torch.where(cosine > threshold, cosine * (self.t + cosine), cosine)

    @torch.no_grad()
    def observe(self, cosine: Tensor, norm: Tensor) -> None:
        self.t.lerp_(cosine.mean().to(self.t), 1 - self.momentum)


def build(params: Params) -> Margin:
    """CurricularFace with these settings."""
    return CurricularFace(params)
