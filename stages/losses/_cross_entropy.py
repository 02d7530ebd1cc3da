"""Cross entropy of margin logits over very many classes, on one or several ranks.

What `F.cross_entropy(margin(cosine, norm, target), target)` gives, with the gradient written out:
the only array of the size batch x classes holds the cosines and then, in their place, the gradient;
the normalised centres exist for a block of classes at a time. With w~ = w / |w|, c = u . w~ and
D = dL/dc (Wang et al., NormFace, arXiv 1704.06369, for the derivative of w / |w|):

    dL/du_i = sum_j D_ij w~_j        dL/dw_j = (sum_i D_ij u_i - w~_j sum_i D_ij c_ij) / |w_j|
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stages.core.ranks import max_over_ranks, sum_over_ranks
from stages.losses._margin import Margin

NORM_FLOOR = 1e-12
# Classes at a time: so many that a product is efficient, so few that on a CPU what is read once
# more is still in the cache.
BLOCK = {"cpu": 8192}
BLOCK_OF_DEVICE = 16384


class Shard(NamedTuple):
    """The centres of one rank and where they stand.

    Attributes:
        centres: [c, E], not normalised; on all ranks together [C, E].
        column: [B], int64, of each sample of all ranks: which entry of this rank is its class, or
            -1 where that is with another rank.
        chosen: ascending rows of `centres` that take part, int64; None: all of them.
        spheres: parts into which the columns are cut.
    """

    centres: Tensor
    column: Tensor
    chosen: Tensor | None
    spheres: int

    @property
    def count(self) -> int:
        """c: centres that take part."""
        return len(self.centres if self.chosen is None else self.chosen)

    @property
    def parts(self) -> list[slice]:
        """Columns of each sphere."""
        width = self.centres.shape[1] // self.spheres
        return [slice(i * width, (i + 1) * width) for i in range(self.spheres)]

    def rows(self, block: slice) -> slice | Tensor:
        """Rows of the centres that entries `block` of those that take part stand for."""
        return block if self.chosen is None else self.chosen[block]

    def own(self, block: slice) -> tuple[Tensor, Tensor]:
        """Samples whose class lies in a block, and its place there."""
        inside = (self.column >= block.start) & (self.column < block.stop)
        samples = inside.nonzero().squeeze(1)
        return samples, self.column[samples] - block.start


def cross_entropy(
    unit: Tensor, norm: Tensor, shard: Shard, margin: Margin
) -> tuple[Tensor, Tensor]:
    """Mean over the batch of all ranks, summed over spheres; and [B] cosines to the own centres.

    Args:
        unit: [B, E], embeddings of all ranks, normalised.
        norm: [B], their lengths.

    The loss is equal on every rank. The gradient of `unit` and `norm` is the part that goes
    through this rank's centres: the sum over ranks is the whole.

    In training the margin first observes the batch. The cosines have no gradient.
    """
    return _CrossEntropy.apply(unit, norm, shard.centres, shard, margin)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, unit: Tensor, norm: Tensor, centres: Tensor, shard: Shard, margin: Margin
    ) -> tuple[Tensor, Tensor]:
        cosines, inverse = _cosines(unit, shard)
        own = sum_over_ranks(_own(cosines, shard))
        joined = own.sum(0) / math.sqrt(shard.spheres)  # N unit parts have length sqrt(N) together
        if margin.training:
            margin.observe(joined, norm)
        moved, slope, norm_slope = _targets(margin, own, norm)
        log_total = _log_total(cosines, own, moved, shard, margin)
        log_likelihood = margin.scale * moved - log_total
        if any(ctx.needs_input_grad):
            # d loss / d moved = s (p - 1) / B, p the probability of the own class.
            pull = margin.scale / len(unit) * torch.expm1(log_likelihood)
            coefficient = _to_gradient(
                cosines, inverse, own, log_total, pull * slope, shard, margin
            )
            of_norm = (pull * norm_slope).sum(0).where(shard.column >= 0, 0)
            ctx.save_for_backward(unit, centres, cosines, coefficient, of_norm)
            ctx.shard = shard
        ctx.mark_non_differentiable(joined)
        return -log_likelihood.mean(1).sum(), joined

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        unit, centres, entries, coefficient, of_norm = ctx.saved_tensors
        of_unit = torch.zeros_like(unit)
        scaled_unit, coefficient = gradient * unit, gradient * coefficient
        whole, of_centres = ctx.shard.chosen is None, None
        if ctx.needs_input_grad[2]:
            of_centres = (torch.empty_like if whole else torch.zeros_like)(centres)
        for block in _blocks(ctx.shard):
            rows = ctx.shard.rows(block)
            kernel = ctx.shard.centres[rows]
            for sphere, part in enumerate(ctx.shard.parts):
                entry = entries[sphere, :, block]
                of_unit[:, part].addmm_(entry, kernel[:, part])
                if of_centres is not None:
                    values = of_centres[rows, part]  # a view, or a copy of chosen rows
                    torch.mm(entry.t(), scaled_unit[:, part], out=values)
                    values.addcmul_(kernel[:, part], coefficient[sphere, block, None], value=-1)
                    if not whole:
                        of_centres[rows, part] = values
        return gradient * of_unit, gradient * of_norm, of_centres, None, None


def _blocks(shard: Shard) -> Iterator[slice]:
    size = BLOCK.get(shard.centres.device.type, BLOCK_OF_DEVICE)
    return (slice(i, min(i + size, shard.count)) for i in range(0, shard.count, size))


def _cosines(unit: Tensor, shard: Shard) -> tuple[Tensor, Tensor]:
    """[spheres, B, c] cosines, and [spheres, c] what the centres are multiplied by for length 1."""
    cosines = unit.new_empty(shard.spheres, len(unit), shard.count)
    inverse = unit.new_empty(shard.spheres, shard.count)
    for block in _blocks(shard):
        kernel = shard.centres[shard.rows(block)]
        for sphere, part in enumerate(shard.parts):
            factor = torch.linalg.vector_norm(kernel[:, part], dim=1)
            inverse[sphere, block] = factor.clamp_min_(NORM_FLOOR).reciprocal_()
            cosine = cosines[sphere, :, block]
            torch.mm(unit[:, part], kernel[:, part].t(), out=cosine)
            # Past 1 by rounding alone; the gradient does not see the clamp.
            cosine.mul_(inverse[sphere, block]).clamp_(-1, 1)
    return cosines, inverse


def _own(cosines: Tensor, shard: Shard) -> Tensor:
    """[spheres, B]: cosines to the own centres, 0 where another rank has them."""
    own = cosines.new_zeros(cosines.shape[:2])
    here = (shard.column >= 0).nonzero().squeeze(1)
    own[:, here] = cosines[:, here, shard.column[here]]
    return own


def _targets(margin: Margin, own: Tensor, norm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[spheres, B] each: entries of the targets, and their derivatives by cosine and by norm."""
    with torch.enable_grad():
        own, norm = own.detach().requires_grad_(), norm.expand_as(own).detach().requires_grad_()
        moved = torch.stack([margin.target(*each) for each in zip(own, norm, strict=True)])
        slopes = torch.autograd.grad(moved.sum(), (own, norm), allow_unused=True)
    slopes = [torch.zeros_like(own) if slope is None else slope for slope in slopes]
    return moved.detach(), *slopes


def _log_total(cosines: Tensor, own: Tensor, moved: Tensor, shard: Shard, margin: Margin) -> Tensor:
    """[spheres, B]: logarithm of the sum of exp(logit) over the classes of all ranks."""
    log_total = torch.full_like(own, -torch.inf)
    for block in _blocks(shard):
        samples, columns = shard.own(block)
        for sphere, cosine in enumerate(cosines[:, :, block]):
            logits = margin.scale * margin.others(cosine, own[sphere])
            logits[samples, columns] = margin.scale * moved[sphere, samples]
            log_block = torch.logsumexp(logits, dim=1)
            log_total[sphere] = torch.logaddexp(log_total[sphere], log_block)
    highest = max_over_ranks(log_total.clone())
    return highest + sum_over_ranks(torch.exp(log_total - highest)).log_()


def _to_gradient(
    cosines: Tensor,
    inverse: Tensor,
    own: Tensor,
    log_total: Tensor,
    of_own: Tensor,
    shard: Shard,
    margin: Margin,
) -> Tensor:
    """Put D_ij / |w_j| in the place of the cosines; return [spheres, c] sum_i D_ij c_ij / |w_j|^2.

    Args:
        of_own: [spheres, B], D of the own centres.
    """
    coefficient = torch.empty_like(inverse)
    factor = margin.scale / len(own[0])
    for block in _blocks(shard):
        samples, columns = shard.own(block)
        for sphere, cosine in enumerate(cosines[:, :, block]):
            with torch.enable_grad():
                leaf = cosine.detach().requires_grad_()
                entries = margin.others(leaf, own[sphere])
            logits = margin.scale * entries.detach()
            pushes = logits.sub_(log_total[sphere, :, None]).exp_().mul_(factor)
            (gradient,) = torch.autograd.grad(entries, leaf, pushes)
            gradient[samples, columns] = of_own[sphere, samples]
            gradient *= inverse[sphere, block]
            coefficient[sphere, block] = (gradient * cosine).sum(0).mul_(inverse[sphere, block])
            cosine.copy_(gradient)
    return coefficient
