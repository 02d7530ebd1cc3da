"""Genuine pairs within a batch: what PFE's losses are sums over."""

from __future__ import annotations

import torch
from torch import Tensor


def genuine_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of both faces of every pair i < j of one person in a batch of labels [B].

    The published code takes each pair in both orders, which leaves the mean as it is.
    """
    same = labels[:, None] == labels[None]
    return tuple(torch.triu(same, diagonal=1).nonzero(as_tuple=True))
