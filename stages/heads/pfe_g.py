"""PFE: a Gaussian around the embedding, its variance in each dimension learnt from genuine pairs.

Probabilistic Face Embeddings (Shi and Jain, ICCV 2019); "PFE-G" in SCF's tables. Published:
lr 1e-3, a tenth after 8,000 of 12,000 steps, weight decay 5e-4, 64 people of 4 images a batch.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from stages.core.schedule import Resampler, Schedule
from stages.heads._confidence import Shape, floored
from stages.heads._gaussian import confidences, mutual_likelihood
from stages.heads._pairs import genuine_pairs

__all__ = ["Params", "build", "confidences", "loss"]

GAIN, OFFSET = 1e-4, -7.0  # at the start: every variance is e^-7
NORM_EPS = 1e-3


class Params(Schedule):
    """Schedule and settings of the head; `batch` counts people."""

    resampler: Resampler = "pil_bilinear"  # of low-resolution copies among the training images
    images: int = Field(4, ge=2)  # of each person of a batch
    hidden: list[PositiveInt] = [64]  # published: 512, the embedding's
    # weight of a batch in BatchNorm's running statistics; published: 0.005, of 12,000 batches
    statistics: float = Field(0.1, gt=0, le=1)
    floor: float = Field(1e-6, gt=0)  # smallest variance


class Variance(nn.Module):
    """Linear, BatchNorm, ReLU; Linear and a BatchNorm without scale and centre; one shared gain
    and offset."""

    def __init__(self, inputs: int, embedding: int, params: Params) -> None:
        super().__init__()
        norm = {"eps": NORM_EPS, "momentum": params.statistics}
        layers: list[nn.Module] = [nn.Flatten()]
        for width, outputs in pairwise([inputs, *params.hidden]):
            linear = nn.Linear(width, outputs, bias=False)
            layers += [linear, nn.BatchNorm1d(outputs, **norm), nn.ReLU()]
        last = nn.Linear([inputs, *params.hidden][-1], embedding, bias=False)
        layers += [last, nn.BatchNorm1d(embedding, affine=False, **norm)]
        self.layers = nn.Sequential(*layers)
        self.gain = nn.Parameter(torch.tensor(GAIN))
        self.offset = nn.Parameter(torch.tensor(OFFSET))
        self.floor = params.floor

    def forward(self, body: Tensor) -> Tensor:
        """Map [B, C, H, W] -> log(floor + exp(y)) [B, embedding]."""
        return floored(self.gain * self.layers(body) + self.offset, self.floor)


def build(params: Params, shape: Shape, embedding: int) -> nn.Module:
    """The head on a map of `shape` -> log sigma^2 [B, embedding]."""
    return Variance(shape[0] * shape[1] * shape[2], embedding, params)


def loss(mu: Tensor, log_sigma2: Tensor, centre: Tensor, labels: Tensor, params: Params) -> Tensor:
    """Minus the mutual likelihood score of every genuine pair of the batch, [pairs].

    The mean is minimised; it may be negative.

    Args:
        mu: [B, d], unit.
        log_sigma2: [B, d].
        centre: not used here.
        labels: [B].
        params: not used here.
    """
    i, j = genuine_pairs(labels)
    sigma2 = log_sigma2.exp()
    return -mutual_likelihood((mu[i], mu[j]), (sigma2[i], sigma2[j]))
