"""Settings of the trunk's training: section `train`, and one recipe in `schedules`."""

from __future__ import annotations

from typing import Literal

from stages.core.params import Section
from stages.core.recipe import Resampler


class Params(Section):
    """How a training step is computed; what it computes is in the schedule."""

    colour: Literal["rgb", "bgr"] = "rgb"
    mean: float = 127.5
    scale: float = 127.5
    resampler: Resampler = "pil_bilinear"
    precision: Literal["fp32", "bf16"] = "fp32"
