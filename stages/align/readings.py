"""Ways in which a list may have written five landmarks down, and which of them gives faces."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np

from stages.core.geometry import TEMPLATE, misfit

NAMES = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
AS_IT_SHOULD_BE = (0, 1, 2, 3, 4)
ORDERS = tuple(permutations(AS_IT_SHOULD_BE))
GOALS = TEMPLATE[np.array(ORDERS)]  # [120, 5, 2]
EXCHANGED = (1, 0, 2, 4, 3)  # left and right
PAIRS, BACKWARDS = "x1 y1 .. x5 y5", "y1 x1 .. y5 x5"
PLANES, BACKWARDS_PLANES = "x1 .. x5 y1 .. y5", "y1 .. y5 x1 .. x5"
UPWARDS = "x1 y1 .. x5 y5 with y counted from the bottom"
LAYOUTS = (PAIRS, BACKWARDS, PLANES, BACKWARDS_PLANES, UPWARDS)
FREQUENT = (
    (BACKWARDS, AS_IT_SHOULD_BE),
    (PLANES, AS_IT_SHOULD_BE),
    (BACKWARDS_PLANES, AS_IT_SHOULD_BE),
    (PAIRS, EXCHANGED),
)
UPRIGHT = 45  # degrees in the plane: a reading that turns faces further is not offered


class Reading(NamedTuple):
    """How ten numbers are taken.

    Attributes:
        layout: a member of LAYOUTS.
        order: which landmark of NAMES each of the five points is.
        residual: median of `misfit` over the images, taken so.
    """

    layout: str
    order: tuple[int, ...]
    residual: float

    def __str__(self) -> str:
        return f"{self.layout} of {', '.join(NAMES[point] for point in self.order)}"


EXPECTED = Reading(PAIRS, AS_IT_SHOULD_BE, 0.0)


def points_of(numbers: np.ndarray, layout: str) -> np.ndarray:
    """Points x, y [n, 5, 2] of the numbers [n, 10] that a list wrote down in `layout`."""
    if layout in (PLANES, BACKWARDS_PLANES):
        points = numbers.reshape(-1, 2, 5).swapaxes(1, 2)
    else:
        points = numbers.reshape(-1, 5, 2)
    if layout in (BACKWARDS, BACKWARDS_PLANES):
        return points[..., ::-1]
    return points * [1, -1] if layout == UPWARDS else points


def other_readings(numbers: np.ndarray) -> list[Reading]:
    """The readings of numbers [n, 10] that leave faces upright, best first, without the right one.

    Every layout with every order of the points: 599 others.
    """
    readings = []
    for layout in LAYOUTS:
        points = points_of(numbers, layout)[:, None]
        residual, turn = (np.median(np.abs(found), axis=0) for found in misfit(points, GOALS))
        readings += [
            Reading(layout, order, float(residual[place]))
            for place, order in enumerate(ORDERS)
            if turn[place] < UPRIGHT and (layout, order) != (PAIRS, AS_IT_SHOULD_BE)
        ]
    return sorted(readings, key=lambda reading: reading.residual)


def frequent_misfit(numbers: np.ndarray) -> np.ndarray:
    """The residual [n] of each image under the best of the FREQUENT other readings."""
    residuals = [
        misfit(points_of(numbers, layout), TEMPLATE[list(order)])[0] for layout, order in FREQUENT
    ]
    return np.min(residuals, axis=0)
