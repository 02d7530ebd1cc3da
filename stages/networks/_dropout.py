"""Dropout that is the same whatever the number of processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.core.ranks import gather_uneven, rank


class Dropout(nn.Module):
    """Zero numbers with probability `p` while training, and scale the others by 1 / (1 - p).

    The mask is drawn from torch's generator for the whole global batch, of which each rank takes
    its own rows: ranks whose generators are in the same state do what one process does.

    Args:
        p: probability.
        together: neighbours in a row that stay or go as one; the pixels of a map whose whole
            channels are dropped (nn.Dropout2d), or 1 (nn.Dropout).
    """

    def __init__(self, p: float, together: int = 1) -> None:
        super().__init__()
        self.p = p
        self.together = together

    def forward(self, flat: Tensor) -> Tensor:
        """[B, D] -> [B, D]; all ranks call it at the same time."""
        if not self.training or self.p == 0:
            return flat
        counts = gather_uneven(torch.tensor([len(flat)], device=flat.device)).tolist()
        start = sum(counts[: rank()])
        groups = flat.unflatten(1, (-1, self.together))
        kept = torch.empty(sum(counts), groups.shape[1], 1, dtype=torch.bool, device=flat.device)
        kept = kept.bernoulli_(1 - self.p)[start : start + len(flat)]
        return (groups * (kept.to(flat.dtype) / (1 - self.p))).flatten(1)

    def extra_repr(self) -> str:
        return f"p={self.p}, together={self.together}"
