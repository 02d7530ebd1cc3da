"""Settings of the trunk's training: section `train`, and one entry of `schedules`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.core.params import ModelName, Section
from stages.core.schedule import Resampler


class Params(Section):
    """How a training step is computed; what it computes is in the schedule."""

    colour: Literal["rgb", "bgr"] = "rgb"
    mean: float = 127.5
    scale: float = Field(127.5, gt=0)
    resampler: Resampler = "pil_bilinear"
    precision: Literal["fp32", "bf16", "fp16"] = (
        "fp32"  # of the network; the loss has fp32 at least
    )
    accumulate: int = Field(1, ge=1)  # parts of a batch, one after the other
    compile: bool = False  # torch.compile
    checkpoint_steps: int = Field(1000, ge=1)  # between two checkpoints within an epoch
    initial: ModelName | None = None  # to start from
