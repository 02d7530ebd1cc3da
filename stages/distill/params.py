"""Settings of section `distill`: BTNet's branches, one a resolution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.core.schedule import Schedule


class Params(Schedule):
    """Schedule of a branch, what of the trunk stays, weights of L = L_cls + d (f L_f + e L_e)."""

    # strict: all of the trunk. reference: as BTNet's code, whose branches are whole networks; the
    # BatchNorms of the trunk's part are trained too and their running statistics drift.
    freeze: Literal["strict", "reference"] = "strict"
    feature_weight: float = Field(1.0, ge=0)
    embedding_weight: float = Field(1.0, ge=0)
    distillation_weight: float = Field(0.5, ge=0)
    antialias: bool = True  # of the bilinear resampling to r x r; False as torchvision before 0.17
