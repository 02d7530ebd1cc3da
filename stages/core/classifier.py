"""Section `classifier` of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.core.params import Section


class ClassifierParams(Section):
    """The owner of the class centres, beside its margin."""

    spheres: int = Field(ge=1)
    sample_rate: float = Field(1.0, gt=0, le=1)
    initial: Literal["normal", "unit"] = "normal"
