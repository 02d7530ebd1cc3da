"""SCF-G: a Gaussian around the embedding, learnt against the frozen class centres.

A baseline of Spherical Confidence Learning (Li et al., CVPR 2021) without published code or
formula. The definition here is this project's own: SCF's objective, the divergence from the class
centre's point mass, with N(mu, sigma^2 I) in place of the von Mises-Fisher density.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from stages.core.schedule import Resampler, Schedule
from stages.heads._confidence import Confidence, Shape
from stages.heads._gaussian import confidences

__all__ = ["Params", "build", "confidences", "loss"]


class Params(Schedule):
    """Schedule and settings of the head."""

    resampler: Resampler = "pil_bilinear"  # of low-resolution copies among the training images
    form: Literal["linear", "convolutional"] = "linear"
    hidden: list[PositiveInt] = [64]
    diagonal: bool = False  # a variance for each dimension, or one for all
    floor: float = Field(1e-6, gt=0)  # smallest variance


def build(params: Params, shape: Shape, embedding: int) -> nn.Module:
    """The head on a map of `shape` -> log sigma^2, [B] or with `diagonal` [B, embedding]."""
    outputs = embedding if params.diagonal else 1
    return Confidence(shape, params.form, params.hidden, outputs, params.floor)


def loss(mu: Tensor, log_sigma2: Tensor, centre: Tensor, labels: Tensor, params: Params) -> Tensor:
    """Loss [B]: minus the log density of N(mu, sigma^2) at the class centre.

    Sum over the dimensions of (w - mu)^2 / (2 sigma^2) + log(sigma^2) / 2 + log(2 pi) / 2; one
    variance for all has its minimum at |w - mu|^2 / d.

    Args:
        mu: [B, d], unit.
        log_sigma2: [B] or [B, d].
        centre: [B, d], the unit centre of each sample's class.
        labels, params: not used here.
    """
    logs = log_sigma2.reshape(len(mu), -1).expand_as(mu)
    terms = (centre - mu).square() * (-logs).exp() + logs + math.log(2 * math.pi)
    return 0.5 * terms.sum(dim=1)
