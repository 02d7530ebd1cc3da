"""Normalised softmax: z = s cos theta, no margin.

The "Softmax" of MultiFace (arXiv 2101.09899), NormFace (arXiv 1704.06369): embedding and class
centres are normalised and there is no bias, unlike the plain softmax layer of older tables.
"""

from __future__ import annotations

from pydantic import Field

from stages.core.params import Section
from stages.losses._margin import Margin


class Params(Section):
    """Settings; the defaults are the paper's."""

    scale: float = Field(64.0, gt=0)


def build(params: Params) -> Margin:
    """The margin that moves nothing."""
    return Margin(params.scale)
