"""What a branch learns from its trunk (BTNet, arXiv 2310.09563)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from stages.core.ranks import mean_over_ranks

if TYPE_CHECKING:
    from stages.networks._staged import Pyramid


class Distillation(NamedTuple):
    """Mean squared differences, over all elements and the batch of all ranks.

    Attributes:
        feature: of the maps at the implant point.
        embedding: of the embeddings as they are, not normalised.
    """

    feature: Tensor
    embedding: Tensor


def distillation(map_: Tensor, embedding: Tensor, taught: Pyramid, stage: int) -> Distillation:
    """Compare a branch's map [B, C, r, r] and embedding [B, E] with the trunk's own.

    Args:
        map_: output of the first block of `stage`, from the branch.
        embedding: what the trunk made of it.
        taught: the trunk's pyramid of the full-resolution images.
        stage: 1..4, where the branch joins.
    """
    return Distillation(
        _mean_square(map_, taught.stages[stage - 1]), _mean_square(embedding, taught.embedding)
    )


def _mean_square(found: Tensor, wanted: Tensor) -> Tensor:
    return mean_over_ranks(F.mse_loss(found, wanted, reduction="none"))
