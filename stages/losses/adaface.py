"""AdaFace (arXiv 2204.00964): the margin's kind follows the embedding's norm, a proxy of quality.

With k = (|f| - mean) / std of the norms, times h and clipped to [-1, 1],
z_y = s (cos(theta_y - m k) - (m + m k)): ArcFace's margin at k = -1, CosFace's at 0,
and at 1 one that pushes away from the boundary. Mean and std are running ones.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from stages.core.params import Section
from stages.losses._margin import Margin

PI = 3.141592653589793
# Bounds of the published code. Where one binds the gradient is 0.
COSINE_LIMIT = 1 - 1e-3
SMALLEST_ANGLE = 1e-3
SMALLEST_NORM, LARGEST_NORM = 1e-3, 100.0
STD_FLOOR = 1e-3  # added to the std
FIRST_MEAN, FIRST_STD = 20.0, 100.0


class Params(Section):
    """Settings; the defaults are the paper's."""

    scale: float = Field(64.0, gt=0)
    margin: float = Field(0.4, ge=0, lt=PI)  # m, of angle and cosine
    concentration: float = Field(0.333, ge=0)  # h: share of a std that moves k by 1
    t_alpha: float = Field(0.01, gt=0, le=1)  # weight of a batch in the running mean and std


class AdaFace(Margin):
    """The target's angle and cosine, moved by the norm. `mean` and `std` are buffers."""

    def __init__(self, params: Params) -> None:
        super().__init__(params.scale)
        self.params = params
        self.register_buffer("mean", torch.tensor(FIRST_MEAN))
        self.register_buffer("std", torch.tensor(FIRST_STD))

    def quality(self, norm: Tensor) -> Tensor:
        """k [B], within [-1, 1]; a constant to the gradient."""
        norm = norm.detach().clamp(SMALLEST_NORM, LARGEST_NORM)
        k = self.params.concentration * (norm - self.mean) / (self.std + STD_FLOOR)
        return k.clamp(-1, 1)

    def target(self, cosine: Tensor, norm: Tensor) -> Tensor:
        m = self.params.margin
        shift = m * self.quality(norm)
        angle = torch.acos(cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT)) - shift
        return torch.cos(angle.clamp(SMALLEST_ANGLE, PI - SMALLEST_ANGLE)) - (m + shift)

    def others(self, cosine: Tensor, own: Tensor) -> Tensor:
        return cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT)

    @torch.no_grad()
    def observe(self, cosine: Tensor, norm: Tensor) -> None:
        """A batch of one has no std and leaves the running one as it is."""
        norm = norm.clamp(SMALLEST_NORM, LARGEST_NORM)
        self.mean.lerp_(norm.mean().to(self.mean), self.params.t_alpha)
        if len(norm) > 1:
            self.std.lerp_(norm.std().to(self.std), self.params.t_alpha)


def build(params: Params) -> Margin:
    """AdaFace with these settings."""
    return AdaFace(params)
