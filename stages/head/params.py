"""Settings of section `head`; beside them stands one section for each head, by its name."""

from __future__ import annotations

from stages.core.recipe import Recipe, Resampler


class Params(Recipe):
    """Recipe shared by the heads."""

    resampler: Resampler = "pil_bilinear"  # of the low-resolution copies that the head learns from
