"""Settings of section `extract`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.core.params import Section
from stages.core.schedule import Resampler


class Params(Section):
    """How features are computed."""

    batch: int = Field(64, ge=1)  # images at a time
    precision: Literal["fp32", "bf16"] = "fp32"  # of the convolutions
    resampler: Resampler = "pil_bilinear"  # to the resolutions of the branches, and to 112 px
    pixels: int = Field(112, ge=1)  # side of the row `pixels`
