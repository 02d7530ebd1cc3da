"""SCF: one concentration kappa a face, learnt against the frozen class centres.

Spherical Confidence Learning for Face Recognition (Li et al., CVPR 2021). The face is an r-radius
von Mises-Fisher density around its embedding's direction; kappa is its confidence and quality.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from stages.core.bessel import log_ive
from stages.core.params import Section
from stages.heads._vmf import bessel_order, log_peak


class Params(Section):
    """Settings of the head and its loss."""

    hidden: list[PositiveInt] = Field([64])  # widths; published: 12544, 6272 (map / 2, map / 4)
    radius: float = Field(64.0, gt=0)  # r of the sphere; a constant of the loss
    floor: float = Field(1e-6, gt=0)  # smallest kappa
    guard: float = Field(0.0, ge=0)  # 0: exact; 1e-6: the published code's logs of (guard + x)


class Concentration(nn.Module):
    """Fully connected layers with ReLU between, and a floor under kappa."""

    def __init__(self, body_size: int, hidden: list[int], floor: float) -> None:
        super().__init__()
        widths = [body_size, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.log_floor = math.log(floor)

    def forward(self, body: Tensor) -> Tensor:
        """Flattened map [B, body_size] -> log kappa [B], log(floor + exp(y)) of the output y."""
        raw = self.layers(body).squeeze(1)
        raw = raw if raw.dtype == torch.float64 else raw.float()
        return torch.logaddexp(raw, raw.new_tensor(self.log_floor))


def build(params: Params, body_size: int, embedding: int) -> nn.Module:
    """The head on a flattened body map of `body_size` numbers; it ignores `embedding`."""
    return Concentration(body_size, params.hidden, params.floor)


def loss(mu: Tensor, log_kappa: Tensor, centre: Tensor, params: Params) -> Tensor:
    """Loss [B]: Kullback-Leibler divergence from the class centre's point mass, up to a constant.

    -k cos - v log k + log I_v(k) + (d/2) log 2 pi + d log r, v = d/2 - 1; its derivative in k
    is A_d(k) - cos. The density with respect to the sphere's surface has (d - 1) log r.

    Args:
        mu: [B, d], unit.
        log_kappa: [B].
        centre: [B, d], the unit centre of each sample's class.
        params: radius and guard.
    """
    dimensions = mu.shape[1]
    cosine = (mu * centre).sum(dim=1)
    radius = dimensions * math.log(params.radius)
    if params.guard > 0:
        return _guarded(cosine, log_kappa, dimensions, params.guard) + radius
    return log_kappa.exp() * (1 - cosine) - log_peak(log_kappa, dimensions) + radius


def _guarded(cosine: Tensor, log_kappa: Tensor, dimensions: int, guard: float) -> Tensor:
    """The published code's form. I_v e^-k is below 1e-6 up to k = 3698 (d = 512); there the guard
    replaces the Bessel term and the minimum moves to k = v / (1 - cos)."""
    order = bessel_order(dimensions)
    kappa = log_kappa.exp()
    scaled_bessel = torch.log(guard + log_ive(order, kappa).exp())
    constant = dimensions / 2 * math.log(2 * math.pi)
    return kappa * (1 - cosine) - order * torch.log(guard + kappa) + scaled_bessel + constant


def quality(log_kappa: Tensor) -> Tensor:
    """Quality of the face: kappa."""
    return log_kappa.exp()
