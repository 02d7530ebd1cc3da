"""Settings of section `fetch`."""

from __future__ import annotations

from pydantic import Field

from stages.core.params import Section


class Params(Section):
    """What is made of the embedded photographs."""

    quality: int = Field(95, ge=1, le=100)  # of JPEG
    seed: int = Field(0, ge=0)  # of impostor pairs left out, templates, and native sizes
    smallest: int = Field(6, ge=2)  # native sizes of the surveillance set, pixels
    largest: int = Field(60, ge=2)
