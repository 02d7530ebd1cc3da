"""IR-18 to IR-101 as AdaFace trains them (Kim et al., CVPR 2022, arXiv 2204.00964).

Units have a BatchNorm between the first convolution and the PReLU; the last BatchNorm has neither
scale nor shift. Tensors are named as in AdaFace's published weights (`published_names`), of which
FaceCoresetNet's trunk is one. AdaFace's network returns the embedding's direction and length; this
one returns the embedding.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from stages.core.params import Section
from stages.networks._folding import fold
from stages.networks._ir import IR, Design, IRBranch
from stages.networks._staged import FULL_RESOLUTION

__all__ = ["Params", "build", "build_branch", "describe", "fold"]

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 101: (3, 13, 30, 3)}


class Params(Section):
    """Shape of the network."""

    depth: Literal[18, 34, 50, 101] = 50
    width: float = Field(1.0, gt=0)  # channels as a share of 64, 128, 256, 512
    embedding: int = Field(512, ge=2)  # dimensions
    dropout: float = Field(0.4, ge=0, lt=1)  # of elements of the last map


def build(params: Params, resolution: int = FULL_RESOLUTION) -> IR:
    """The whole network for images of `resolution` px, with AdaFace's initial weights."""
    return _initialised(IR(_design(params), resolution))


def build_branch(params: Params, resolution: int) -> IRBranch:
    """The front of the network for images of `resolution` px, up to its join with the trunk.

    Raise ValueError for a resolution that has no branch.
    """
    return _initialised(IRBranch(_design(params), resolution))


def describe(params: Params) -> dict[str, Any]:
    """What a weights file says of its network: the section `backbone` that builds it again."""
    return {"name": "ir", **params.model_dump()}


def _design(params: Params) -> Design:
    return Design(
        UNITS[params.depth], params.width, params.embedding, params.dropout, norm_between=True
    )


def _initialised(network: IR | IRBranch) -> IR | IRBranch:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
