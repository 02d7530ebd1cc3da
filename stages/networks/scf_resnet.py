"""SCF's ResNets of 34 to 152 layers (Li et al., CVPR 2021), with squeeze-and-excitation or not.

No BatchNorm between a unit's first convolution and its PReLU; the last BatchNorm has neither scale
nor shift. Tensors are named as in SCF's published weights (`published_names`). SCF's network also
returns the flattened last map, which is here `body(images).flatten(1)`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from stages.core.params import Section
from stages.networks._folding import fold
from stages.networks._ir import IR, Design, IRBranch, SqueezeExcitation
from stages.networks._staged import FULL_RESOLUTION

__all__ = ["Params", "build", "build_branch", "describe", "fold"]

UNITS = {34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}


class Params(Section):
    """Shape of the network."""

    depth: Literal[34, 50, 100, 152] = 100  # 34 is in the paper alone
    se: bool = False  # squeeze-and-excitation
    width: float = Field(1.0, gt=0)  # channels as a share of 64, 128, 256, 512
    embedding: int = Field(512, ge=2)  # dimensions
    dropout: float = Field(0.4, ge=0, lt=1)  # of elements of the last map


def build(params: Params, resolution: int = FULL_RESOLUTION) -> IR:
    """The whole network for images of `resolution` px, with SCF's initial weights."""
    return _initialised(IR(_design(params), resolution))


def build_branch(params: Params, resolution: int) -> IRBranch:
    """The front of the network for images of `resolution` px, up to its join with the trunk.

    Raise ValueError for a resolution that has no branch.
    """
    return _initialised(IRBranch(_design(params), resolution))


def describe(params: Params) -> dict[str, Any]:
    """What a weights file says of its network: the section `backbone` that builds it again."""
    return {"name": "scf_resnet", **params.model_dump()}


def _design(params: Params) -> Design:
    return Design(
        UNITS[params.depth], params.width, params.embedding, params.dropout, squeeze=params.se
    )


def _initialised(network: IR | IRBranch) -> IR | IRBranch:
    """torch's defaults, but Xavier's in squeeze-and-excitation."""
    for module in network.modules():
        if isinstance(module, SqueezeExcitation):
            nn.init.xavier_uniform_(module.fc1.weight)
            nn.init.xavier_uniform_(module.fc2.weight)
    return network
