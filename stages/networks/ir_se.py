"""IR-SE-50 and IR-SE-100 of MultiFace (Xu et al., 2021, arXiv 2101.09899), and IR-50 without SE.

No BatchNorm between a unit's first convolution and its PReLU; squeeze-and-excitation at the end of
each unit unless `se` is off. Tensors are named as in MultiFace's published weights
(`published_names`). MultiFace's network divides the embedding by its length; this one does not.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stages.core.params import Section
from stages.networks._folding import fold
from stages.networks._ir import IR, Design, IRBranch
from stages.networks._staged import FULL_RESOLUTION

__all__ = ["Params", "build", "build_branch", "describe", "fold"]

UNITS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}


class Params(Section):
    """Shape of the network."""

    depth: Literal[50, 100] = 50
    se: bool = True  # squeeze-and-excitation
    width: float = Field(1.0, gt=0)  # channels as a share of 64, 128, 256, 512
    embedding: int = Field(512, ge=2)  # dimensions
    dropout: float = Field(0.6, ge=0, lt=1)  # of elements of the last map


def build(params: Params, resolution: int = FULL_RESOLUTION) -> IR:
    """The whole network for images of `resolution` px, with torch's initial weights."""
    return IR(_design(params), resolution)


def build_branch(params: Params, resolution: int) -> IRBranch:
    """The front of the network for images of `resolution` px, up to its join with the trunk.

    Raise ValueError for a resolution that has no branch.
    """
    return IRBranch(_design(params), resolution)


def describe(params: Params) -> dict[str, Any]:
    """What a weights file says of its network: the section `backbone` that builds it again."""
    return {"name": "ir_se", **params.model_dump()}


def _design(params: Params) -> Design:
    return Design(
        UNITS[params.depth],
        params.width,
        params.embedding,
        params.dropout,
        squeeze=params.se,
        last_affine=True,
    )
