"""BatchNorm over the global batch of all ranks, on any backend: torch's own refuses the CPU.

Each rank sums its own rows; counts, means and squared deviations are combined (Chan, Golub and
LeVeque 1979), so ranks may have unequal counts and large means cost no digits. Backward sends the
two sums of the gradient over all ranks, and leaves a rank the part of its own samples in the
gradients of weight and bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.core.ranks import rank, size, sum_over_ranks


def synchronise(module: nn.Module) -> None:
    """Turn every BatchNorm1d and 2d in training mode within `module` into a synchronised one.

    Modules, parameters and names stay the same objects, so an optimiser and a saved state still
    fit. What is in eval mode normalises by its running statistics and is left as it is.
    """
    for part in module.modules():
        if part.training and type(part) in SYNCHRONISED:
            part.__class__ = SYNCHRONISED[type(part)]


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    def forward(self, values: Tensor) -> Tensor:
        if not self.training or size() == 1:
            return super().forward(values)
        self._check_input_dim(values)
        count, mean, variance = _global_statistics(values.detach())
        self._follow(count, mean, variance)
        return _Normalise.apply(
            values, self.weight, self.bias, count, mean, (variance + self.eps).rsqrt()
        )

    @torch.no_grad()
    def _follow(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as nn.BatchNorm does."""
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * count / (count - 1).clamp_min(1)
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(unbiased.to(self.running_var), share)


class SynchronisedBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Of [B, C] or [B, C, L]."""


class SynchronisedBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Of [B, C, H, W]."""


SYNCHRONISED = {
    nn.BatchNorm1d: SynchronisedBatchNorm1d,
    nn.BatchNorm2d: SynchronisedBatchNorm2d,
}


class _Normalise(torch.autograd.Function):
    """(values - mean) / deviation * weight + bias; mean and deviation depend on all ranks' values.

    values [B, C, ..]; the others [C]; count is the global number of values of a channel.
    """

    @staticmethod
    def forward(ctx, values, weight, bias, count, mean, inverse):
        ctx.save_for_backward(values, weight, count, mean, inverse)
        scale = inverse if weight is None else inverse * weight
        out = (values - _channels(mean, values)) * _channels(scale, values)
        return (out if bias is None else out.add_(_channels(bias, values))).to(values.dtype)

    @staticmethod
    def backward(ctx, gradient):
        values, weight, count, mean, inverse = ctx.saved_tensors
        unit = (values - _channels(mean, values)) * _channels(inverse, values)
        gradient = gradient.to(unit.dtype)
        own = torch.stack([_sum(gradient), _sum(gradient * unit)])
        straight, along = sum_over_ranks(own.clone()) / count
        scale = inverse if weight is None else inverse * weight
        unit = unit.mul_(_channels(along, unit)).add_(_channels(straight, unit))
        to_values = (gradient - unit).mul_(_channels(scale, unit)).to(values.dtype)
        if weight is None:
            return to_values, None, None, None, None, None
        return to_values, own[1].to(weight), own[0].to(weight), None, None, None


def _global_statistics(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count [], mean [C] and biased variance [C] of a channel's values over all ranks."""
    wide = _wide(values.dtype)
    count = values.numel() // values.shape[1]
    mean = _sum(values) / max(count, 1)
    squares = _sum((values.to(wide) - _channels(mean, values)).square_())
    table = values.new_zeros((size(), 1 + 2 * values.shape[1]), dtype=torch.float64)
    table[rank()] = torch.cat([mean.new_full((1,), count), mean, squares])
    counts, means, squares = sum_over_ranks(table).split([1, len(mean), len(mean)], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    variance = (squares + counts * (means - mean).square()).sum(0) / total
    return total.to(wide), mean.to(wide), variance.to(wide)


def _sum(values: Tensor) -> Tensor:
    """[B, C, ..] -> [C], at least in float32."""
    return values.sum([0, *range(2, values.dim())], dtype=_wide(values.dtype))


def _channels(vector: Tensor, like: Tensor) -> Tensor:
    return vector.view(-1, *[1] * (like.dim() - 2))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32
