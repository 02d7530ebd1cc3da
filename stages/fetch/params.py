"""Settings of section `fetch`."""

from __future__ import annotations

from pydantic import Field, model_validator

from stages.core.params import Section

ASPECT = 0.8  # of the photographs, width over height, about


class Params(Section):
    """What is made of the embedded photographs."""

    quality: int = Field(95, ge=1, le=100)  # of JPEG
    seed: int = Field(0, ge=0)  # of impostor pairs left out, templates, and native sizes
    smallest: int = Field(6, ge=2)  # native sizes of the surveillance set, pixels
    largest: int = Field(60, ge=2)

    @model_validator(mode="after")
    def _room_for_the_aspect(self) -> Params:
        if self.smallest > ASPECT * self.largest:
            raise ValueError(f"smallest must be at most {ASPECT:g} of largest: heads are high")
        return self
