"""SCF: one concentration kappa a face, learnt against the frozen class centres.

Spherical Confidence Learning for Face Recognition (Li et al., CVPR 2021). The face is an r-radius
von Mises-Fisher density around its embedding's direction; kappa is its confidence and quality.
Published: Adam, lr 3e-5 halved every second of 30 epochs, weight decay 5e-4, batch 1024.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from stages.core.bessel import log_ive
from stages.core.schedule import Resampler, Schedule
from stages.heads._confidence import Confidence, Shape
from stages.heads._vmf import bessel_order, confidences, log_peak

__all__ = ["Params", "build", "confidences", "loss"]


class Params(Schedule):
    """Schedule and settings of the head and its loss."""

    resampler: Resampler = "pil_bilinear"  # of low-resolution copies among the training images
    form: Literal["linear", "convolutional"] = "linear"  # published code; TFace
    hidden: list[PositiveInt] = [64]  # published: 12544, 6272 (map / 2, map / 4); TFace: 256, 128
    radius: float = Field(64.0, gt=0)  # r of the sphere; a constant of the loss
    floor: float = Field(1e-6, gt=0)  # smallest kappa
    guard: float = Field(0.0, ge=0)  # 0: exact; 1e-6: the published code's logs of (guard + x)


def build(params: Params, shape: Shape, embedding: int) -> nn.Module:
    """The head on a map of `shape` -> log kappa [B]; it ignores `embedding`."""
    return Confidence(shape, params.form, params.hidden, 1, params.floor)


def loss(mu: Tensor, log_kappa: Tensor, centre: Tensor, labels: Tensor, params: Params) -> Tensor:
    """Loss [B]: Kullback-Leibler divergence from the class centre's point mass, up to a constant.

    -k cos - v log k + log I_v(k) + (d/2) log 2 pi + d log r, v = d/2 - 1; its derivative in k
    is A_d(k) - cos. The density with respect to the sphere's surface has (d - 1) log r.

    Args:
        mu: [B, d], unit.
        log_kappa: [B].
        centre: [B, d], the unit centre of each sample's class.
        labels: [B]; not used here.
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
