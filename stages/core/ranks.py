"""Processes that train one model together (torch.distributed), and what they exchange.

The loss is the mean over the global batch and equal on every rank; a parameter that every rank
holds gets as gradient the part of its own samples, and those parts are summed. One process is the
special case in which every function here gives its argument back.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def rank() -> int:
    """Number of this process, from 0."""
    distributed = _distributed()
    return distributed.get_rank() if distributed else 0


def size() -> int:
    """Number of processes."""
    distributed = _distributed()
    return distributed.get_world_size() if distributed else 1


def share(count: int, part: int | None = None, parts: int | None = None) -> slice:
    """The rows of range(count) that a rank has: contiguous, the first count % parts one more.

    Args:
        part, parts: rank and number of ranks; by default those of this process.
    """
    part = rank() if part is None else part
    parts = size() if parts is None else parts
    each, more = divmod(count, parts)
    start = each * part + min(part, more)
    return slice(start, start + each + (part < more))


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Replace `tensor` by its sum over ranks; without gradient."""
    if size() > 1:
        _distributed().all_reduce(tensor)
    return tensor


def max_over_ranks(tensor: Tensor) -> Tensor:
    """Replace `tensor` by its elementwise maximum over ranks; without gradient."""
    if size() > 1:
        _distributed().all_reduce(tensor, op=_distributed().ReduceOp.MAX)
    return tensor


def gather_uneven(tensor: Tensor) -> Tensor:
    """The rows of all ranks, in their order; ranks may have unequal counts, or none. No gradient.

    Args:
        tensor: [n, ..], all but the first dimension equal on all ranks.
    """
    tensor = tensor.detach()
    if size() == 1:
        return tensor
    counts = _row_counts(tensor)
    padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
    padded[: len(tensor)] = tensor
    parts = [padded.new_empty(padded.shape) for _ in counts]
    _distributed().all_gather(parts, padded)
    return _concatenate([part[:count] for part, count in zip(parts, counts, strict=True)])


def gather_rows(tensor: Tensor) -> Tensor:
    """Like `gather_uneven`, with gradient: that of the rows, summed over ranks, goes to their own.

    Either all ranks pass a tensor that requires a gradient and run backward, or none does.
    """
    if size() == 1:
        return tensor
    counts = _row_counts(tensor)
    whole = gather_uneven(tensor)
    start = sum(counts[: rank()])
    whole = _concatenate([whole[:start], tensor, whole[start + len(tensor) :]])
    if whole.requires_grad:
        whole.register_hook(lambda gradient: sum_over_ranks(gradient.clone()))
    return whole


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean [] of the values [n, ..] of all ranks, for a loss; its gradient goes to own values."""
    if size() == 1:
        return values.mean()
    total = values.detach().new_tensor([values.detach().sum(), values.numel()])
    whole, count = sum_over_ranks(total)
    own = values.sum() / count
    return own + (whole / count - own.detach())


def _row_counts(tensor: Tensor) -> list[int]:
    counts = tensor.new_zeros(size()).long()
    counts[rank()] = len(tensor)
    return sum_over_ranks(counts).tolist()


def _concatenate(parts: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(parts)


def _distributed() -> ModuleType | None:
    """torch.distributed if this process is one of several, else None; imports no torch."""
    module = sys.modules.get("torch.distributed")
    return module if module and module.is_available() and module.is_initialized() else None
