"""What is trained: a branch before the untouched trunk, or BTNet's code's whole network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from stages.core.errors import InputError
from stages.core.params import PARAMS_FILE
from stages.networks._files import Loaded


class Student(NamedTuple):
    """A network in training.

    Attributes:
        network: what is trained and saved.
        stage: 1..4, whose first block's output is the implanted map.
        embed: images [B, 3, r, r] -> (that map, embedding [B, E]).
    """

    network: nn.Module
    stage: int
    embed: Callable[[Tensor], tuple[Tensor, Tensor]]


def strict(trunk: Loaded, resolution: int) -> Student:
    """The branch alone: the trunk stays bit for bit, and serves every resolution."""
    branch = trunk.family.build_branch(trunk.params, resolution)
    branch.load_from_trunk(trunk.network)

    def embed(images: Tensor) -> tuple[Tensor, Tensor]:
        map_ = branch(images)
        return map_, trunk.network.resume(map_, branch.depth)

    return Student(branch, branch.depth, embed)


def reference(trunk: Loaded, resolution: int) -> Student:
    """A copy of the whole network at `resolution`, frozen as far as BTNet's code freezes it.

    Raise InputError for a family whose names that rule does not know.
    """
    if not hasattr(trunk.family, "reference_trainable"):
        raise InputError(
            PARAMS_FILE,
            f"the reference's rule goes by names that {trunk.family.__name__} has not",
            "set it to strict, or take an iresnet",
            "distill.freeze",
        )
    whole = trunk.family.build(trunk.params, resolution)
    whole.load_from_trunk(trunk.network)
    trained = trunk.family.reference_trainable(whole, resolution)
    for name, value in whole.named_parameters():
        value.requires_grad_(name in trained)
    stage = trunk.family.IMPLANT[resolution]

    def embed(images: Tensor) -> tuple[Tensor, Tensor]:
        pyramid = whole.pyramid(images)
        return pyramid.stages[stage - 1], pyramid.embedding

    return Student(whole, stage, embed)


FREEZES = {"strict": strict, "reference": reference}
