"""The class centres and the loss of a batch under any margin.

One sphere is the usual softmax over cosines. With N spheres (MultiFace, arXiv 2101.09899) the
embedding, normalised as a whole, is cut into N parts, each with its own centres, and the loss is
the sum of the N cross entropies. Over several ranks each holds a part of the centres; with a
sample rate below 1 the own centres of the batch and a random part of the others make up the
softmax (Partial FC, arXiv 2203.15565). None of this changes what a margin computes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from stages.core.ranks import gather_rows, gather_uneven, share, sum_over_ranks
from stages.core.seeding import derive
from stages.losses._cross_entropy import NORM_FLOOR, Shard, cross_entropy
from stages.losses._margin import Margin, full_precision

CENTRE_STD = 0.01
DRAWN_AT_ONCE = 1024  # rows of centres; a multiple of 16, the block of torch's normal generator
Initial = Literal["normal", "unit"]


class Loss(NamedTuple):
    """Loss of the batch of all ranks, equal on all of them.

    Attributes:
        total: what is minimised: classification + penalty_weight * penalty.
        classification: mean cross entropy, summed over spheres.
        penalty: mean of the margin's penalty, without its weight; 0 if the margin has none.
        cosine: [B], between embedding and own centre, without margin or gradient; of the samples
            of all ranks, in their order.
    """

    total: Tensor
    classification: Tensor
    penalty: Tensor
    cosine: Tensor


class Classifier(nn.Module):
    """This rank's part of the class centres.

    Args:
        embedding: dimensions E.
        classes: number of classes C of all ranks.
        margin: a margin of this library.
        spheres: parts N of the embedding; N must divide E (else ValueError).
        sample_rate: share of the centres in the softmax of a training batch, drawn anew for each;
            the own centres of the batch always are. Those left out get a gradient of 0, so that
            momentum and weight decay go on moving them.
        seed: of that draw, together with the buffer `step`; independent of the number of ranks.
        initial: centres start at N(0, 0.01), or, as in MagFace, MultiFace and AdaFace, uniform
            within +-1 and then of length 1 in each sphere. The shorter, the faster they turn.

    Attributes:
        own: the classes of this rank.
        centres: [c, E], theirs; as many of a matrix [C, E] that is the same for any number of
            ranks if torch's generator is.
    """

    def __init__(
        self,
        embedding: int,
        classes: int,
        margin: Margin,
        spheres: int = 1,
        sample_rate: float = 1.0,
        seed: int = 0,
        initial: Initial = "normal",
    ) -> None:
        super().__init__()
        if embedding % spheres:
            raise ValueError(f"{spheres} spheres do not divide an embedding of {embedding}")
        self.classes = classes
        self.own = share(classes)
        self.centres = nn.Parameter(torch.empty(self.own.stop - self.own.start, embedding))
        self.centres.sharded = True  # for stages.core.state, which gathers and cuts such rows
        self.margin = margin
        self.spheres = spheres
        self.sample_rate = sample_rate
        self.seed = seed
        self.reset(initial)
        if sample_rate < 1:
            self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def reset(self, initial: Initial) -> None:
        """Draw all C centres, a few at a time, and keep the own ones."""
        for start in range(0, self.classes, DRAWN_AT_ONCE):
            drawn = torch.empty(min(DRAWN_AT_ONCE, self.classes - start), self.centres.shape[1])
            if initial == "unit":
                to_unit_length(drawn.uniform_(-1, 1), self.spheres)
            else:
                drawn.normal_(0, CENTRE_STD)
            first, last = max(start, self.own.start), min(start + len(drawn), self.own.stop)
            if first < last:
                kept = drawn[first - start : last - start]
                self.centres[first - self.own.start : last - self.own.start] = kept

    def forward(self, embedding: Tensor, target: Tensor) -> Loss:
        """Loss of embeddings [B, E], not normalised, with classes target [B], int64.

        Each rank passes its own samples, as many as it has. After `backward` an embedding has its
        whole gradient of the loss, and so have the centres of this rank. Computed in float32 at
        least, also under autocast.
        """
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = full_precision(embedding)
            everyone = gather_rows(embedding)
            norm = everyone.norm(dim=1)
            unit = everyone / norm.clamp_min(NORM_FLOOR)[:, None]
            shard = self._shard(gather_uneven(target), unit.dtype)
            classification, cosine = cross_entropy(unit, norm, shard, self.margin)
            penalty = self._penalty(embedding, len(everyone))
            total = classification + self.margin.penalty_weight * penalty
            return Loss(total, classification, penalty, cosine)

    def _shard(self, target: Tensor, dtype: torch.dtype) -> Shard:
        centres = self.centres.to(dtype)
        here = (target >= self.own.start) & (target < self.own.stop)
        column = (target - self.own.start).where(here, -1)
        if self.sample_rate == 1 or not self.training:
            return Shard(centres, column, None, self.spheres)
        chosen = self._draw(target)
        column = torch.searchsorted(chosen, column).where(here, -1)
        return Shard(centres, column, chosen, self.spheres)

    def _draw(self, target: Tensor) -> Tensor:
        """Own rows that take part in this step, ascending."""
        generator = torch.Generator().manual_seed(derive(self.seed, "centres", int(self.step)))
        self.step += 1
        order = torch.rand(self.classes, generator=generator)
        positive = target.unique().cpu()
        order[positive] = 2  # before all drawn numbers
        count = max(len(positive), round(self.sample_rate * self.classes))
        chosen = order.topk(count).indices.sort().values
        mine = (chosen >= self.own.start) & (chosen < self.own.stop)
        return (chosen[mine] - self.own.start).to(target.device)

    def _penalty(self, embedding: Tensor, count: int) -> Tensor:
        """Mean over the `count` samples of all ranks; its gradient goes to the own ones."""
        penalty = self.margin.penalty(embedding.norm(dim=1))
        if penalty is None:
            return embedding.new_zeros(())
        part = penalty.sum() / count
        return part + (sum_over_ranks(part.detach().clone()) - part.detach())


def to_unit_length(centres: Tensor, spheres: int) -> None:
    """Scale centres [c, E] in place to length 1 in each sphere."""
    parts = centres.view(len(centres), spheres, -1)
    parts /= parts.norm(dim=2, keepdim=True)
