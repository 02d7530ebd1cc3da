"""The class centres and the loss of a batch under any margin.

One sphere is the usual softmax over cosines. With N spheres (MultiFace, arXiv 2101.09899) the
embedding, normalised as a whole, is cut into N parts, each with its own centres, and the loss is
the sum of the N cross entropies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.losses._margin import Margin, full_precision

CENTRE_STD = 0.01  # centres start at N(0, 0.01)
NORM_FLOOR = 1e-12


class Loss(NamedTuple):
    """Loss of a batch.

    Attributes:
        total: what is minimised: classification + penalty_weight * penalty.
        classification: mean cross entropy, summed over spheres.
        penalty: mean of the margin's penalty, without its weight; 0 if the margin has none.
        cosine: [B], between embedding and own centre, without margin.
    """

    total: Tensor
    classification: Tensor
    penalty: Tensor
    cosine: Tensor


class Classifier(nn.Module):
    """All class centres on one device.

    Args:
        embedding: dimensions E.
        classes: number of classes C.
        margin: a margin of this library.
        spheres: parts N of the embedding; N must divide E (else ValueError).
    """

    def __init__(self, embedding: int, classes: int, margin: Margin, spheres: int = 1) -> None:
        super().__init__()
        if embedding % spheres:
            raise ValueError(f"{spheres} spheres do not divide an embedding of {embedding}")
        self.centres = nn.Parameter(torch.empty(classes, embedding))
        nn.init.normal_(self.centres, 0, CENTRE_STD)
        self.margin = margin
        self.spheres = spheres

    def forward(self, embedding: Tensor, target: Tensor) -> Loss:
        """Loss of embeddings [B, E], not normalised, with classes target [B], int64.

        Computed in float32 at least, also under autocast.
        """
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = full_precision(embedding)
            norm = embedding.norm(dim=1)
            cosines = self.cosines(embedding / norm.clamp_min(NORM_FLOOR)[:, None])
            own = self._own(cosines, target)
            if self.training:
                self.margin.observe(own.detach(), norm.detach())
            classification = sum(
                F.cross_entropy(self.margin(cosine, norm, target), target) for cosine in cosines
            )
            penalty = self._penalty(norm)
            total = classification + self.margin.penalty_weight * penalty
            return Loss(total, classification, penalty, own)

    def cosines(self, unit: Tensor) -> list[Tensor]:
        """For each sphere [B, C]: part of `unit` [B, E] times the normalised centres, in [-1, 1].

        The parts keep their length, at most 1: MultiFace normalises the whole vector alone.
        """
        parts = unit.chunk(self.spheres, dim=1)
        centres = self.centres.to(unit.dtype).chunk(self.spheres, dim=1)
        return [
            F.linear(part, F.normalize(centre, eps=NORM_FLOOR)).clamp(-1, 1)
            for part, centre in zip(parts, centres, strict=True)
        ]

    def _own(self, cosines: list[Tensor], target: Tensor) -> Tensor:
        """[B]: cosine to the own centre; the N unit parts together have length sqrt(N)."""
        own = sum(cosine.gather(1, target[:, None]).squeeze(1) for cosine in cosines)
        return own / math.sqrt(self.spheres)

    def _penalty(self, norm: Tensor) -> Tensor:
        penalty = self.margin.penalty(norm)
        return norm.new_zeros(()) if penalty is None else penalty.mean()
