"""Settings of the report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.core.params import Section


class Headline(Section):
    """The one cell that stands for a benchmark.

    Attributes:
        metrics: the first of these that is measured (a small set has no TAR at a small FAR);
            the benchmark's first metric where none is.
        row: its row; the benchmark's first row where there is no such row.
    """

    metrics: list[str] = []
    row: str = "112&112"


class Params(Section):
    """Section `report`.

    Attributes:
        headline: protocol -> the cell that stands for its benchmarks (first screen, heat maps,
            metrics/summary.json).
        faces: how many of the best and of the worst faces a strip shows.
    """

    headline: dict[str, Headline] = {}
    faces: Annotated[int, Field(ge=1)] = 8
