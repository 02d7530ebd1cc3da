"""PFE-v: SCF's density learnt by PFE's recipe, from genuine pairs alone.

A baseline of Spherical Confidence Learning (Li et al., CVPR 2021), which calls its result N/A and
gives no code: minus the mutual likelihood (Eqn 13) of the genuine pairs of a batch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from stages.core.schedule import Resampler, Schedule
from stages.heads._confidence import Confidence, Shape
from stages.heads._pairs import genuine_pairs
from stages.heads._vmf import confidences, log_peak, mutual_likelihood

__all__ = ["Params", "build", "confidences", "loss"]


class Params(Schedule):
    """Schedule and settings of the head; `batch` counts people."""

    resampler: Resampler = "pil_bilinear"  # of low-resolution copies among the training images
    images: int = Field(4, ge=2)  # of each person of a batch
    form: Literal["linear", "convolutional"] = "linear"
    hidden: list[PositiveInt] = [64]
    floor: float = Field(1e-6, gt=0)  # smallest kappa


def build(params: Params, shape: Shape, embedding: int) -> nn.Module:
    """The head on a map of `shape` -> log kappa [B]; it ignores `embedding`."""
    return Confidence(shape, params.form, params.hidden, 1, params.floor)


def loss(mu: Tensor, log_kappa: Tensor, centre: Tensor, labels: Tensor, params: Params) -> Tensor:
    """Minus Eqn 13 of every genuine pair of the batch, [pairs]; the mean is minimised.

    Args:
        mu: [B, d], unit.
        log_kappa: [B].
        centre: not used here.
        labels: [B].
        params: not used here.
    """
    i, j = genuine_pairs(labels)
    cosine = (mu[i] * mu[j]).sum(dim=1)
    kappa, peak = log_kappa.exp(), log_peak(log_kappa, mu.shape[1])
    return -mutual_likelihood(cosine, (kappa[i], kappa[j]), mu.shape[1], (peak[i], peak[j]))
