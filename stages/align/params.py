"""Settings of the stage align."""

from __future__ import annotations

from pydantic import Field

from stages.core.params import Section


class Params(Section):
    """Section `align`: of the detector, where an entry says `align: detect`.

    Attributes:
        short_side: pixels to which the shorter side of a smaller photograph is enlarged.
        border: black margin around a photograph, as a share of its shorter side.
        smallest_face: side of the smallest face to look for, as a share of the shorter side.
    """

    short_side: int = Field(default=184, ge=20)
    border: float = Field(default=0.15, ge=0, le=2)
    smallest_face: float = Field(default=0.2, gt=0, le=1)
