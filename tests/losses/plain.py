"""The classifier's definition in a few differentiable lines, on one process and slow."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.losses._classifier import Loss
from stages.losses._margin import Margin


def cosines(unit: Tensor, centres: Tensor, spheres: int = 1) -> list[Tensor]:
    """For each sphere [B, C]: part of `unit` [B, E] times the normalised centres [C, E].

    The parts keep their length, at most 1: MultiFace normalises the whole vector alone.
    """
    pairs = zip(unit.chunk(spheres, dim=1), centres.chunk(spheres, dim=1), strict=True)
    return [F.linear(part, F.normalize(kernel)).clamp(-1, 1) for part, kernel in pairs]


def loss_of(
    margin: Margin, embedding: Tensor, centres: Tensor, target: Tensor, spheres: int = 1
) -> Loss:
    """Loss of embeddings [B, E], not normalised, after the margin has observed the batch."""
    norm = embedding.norm(dim=1)
    entries = cosines(F.normalize(embedding), centres, spheres)
    own = sum(cosine.gather(1, target[:, None]).squeeze(1) for cosine in entries)
    own = own.detach() / math.sqrt(spheres)
    margin.observe(own, norm.detach())
    each = [F.cross_entropy(margin(cosine, norm, target), target) for cosine in entries]
    classification = torch.stack(each).sum()
    penalty = margin.penalty(norm)
    penalty = torch.zeros(()) if penalty is None else penalty.mean()
    return Loss(classification + margin.penalty_weight * penalty, classification, penalty, own)
