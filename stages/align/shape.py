"""Whether five landmarks an image have the shape of faces, in the order they are read in.

The measure is the residual of the similarity fit (`stages.core.geometry.misfit`). Measured on the
6,165 photographs of LFW's people of View 2, sets 1 to 5: median 0.12, largest 0.44. Measured on
projected heads (tests/align/heads.py): medians of 0.39 at a yaw of 60 degrees and of 0.67 in full
profile, up to 0.8 with noise and pitch. A list that exchanges x and y, or left and right, takes
frontal faces to 0.98. One that has all x before all y takes them to 0.73, where profiles are as
well: what tells these apart is whether another way to read the list gives faces. For sets of ten
profiles no other way gave less than 0.35. Rotations by 90 and 180 degrees leave the residual alone
and show in the angle. One wrong order of 599 shows in neither: eyes and mouth exchanged, and y
counted from the bottom, is a face that is mirrored at about the height of the nose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stages.align.doubts import Doubt
from stages.align.readings import EXPECTED, frequent_misfit, other_readings
from stages.core.geometry import misfit
from stages.core.index import Texts

SIDEWAYS = 0.35  # median residual of faces that are turned by 55 degrees
SINGLE = 0.45  # residual above those of all LFW's faces
NO_FACE = 0.85  # residual above those of all poses
FACES = 0.3  # a reading whose median is below this gives faces
CLEARER = 0.7  # share of the residual below which another reading is worth mentioning
LYING = 60  # degrees in the plane, median
BLOCK = 65_536  # images measured at once
SCALE = "0.12 is usual, profiles reach 0.8"
DETECTED = "check that the photographs show faces, upright or as their EXIF entries turn them"


class Shapes(NamedTuple):
    """Of each image, NaN where its landmarks define no crop.

    Attributes:
        residual: of `misfit`, [n].
        turn: of `misfit`, degrees, [n].
        reordered: whether a frequent wrong order explains an implausible residual, bool [n].
    """

    residual: np.ndarray
    turn: np.ndarray
    reordered: np.ndarray


def measure(landmarks: np.ndarray) -> Shapes:
    """The shapes of landmarks [n, 10]."""
    residual, turn = np.empty((2, len(landmarks)), np.float32)
    reordered = np.zeros(len(landmarks), bool)
    for start in range(0, len(landmarks), BLOCK):
        rows = slice(start, start + BLOCK)
        residual[rows], turn[rows] = misfit(landmarks[rows].reshape(-1, 5, 2))
        odd = start + np.flatnonzero(residual[rows] > SINGLE)
        reordered[odd] = frequent_misfit(landmarks[odd]) < np.minimum(FACES, residual[odd] / 2)
    return Shapes(residual, turn, reordered)


def distribution(shapes: Shapes, usable: np.ndarray) -> dict[str, float]:
    """Quantiles of residual and rotation (degrees, either way), to four decimals.

    Args:
        usable: which images have crops, bool [n].
    """
    if not usable.any():
        return {}
    residual, rotation = shapes.residual[usable], np.abs(shapes.turn[usable])
    quantiles = {
        "residual_p05": np.quantile(residual, 0.05),
        "residual_median": np.median(residual),
        "residual_p95": np.quantile(residual, 0.95),
        "residual_max": residual.max(),
        "rotation_median": np.median(rotation),
        "rotation_p95": np.quantile(rotation, 0.95),
    }
    return {name: round(float(value), 4) for name, value in quantiles.items()}


def doubts_of_set(numbers: np.ndarray, turn: np.ndarray, detected: bool) -> Iterator[Doubt]:
    """Doubts about the landmarks of most images.

    Args:
        numbers: usable landmarks of a sample of the images, [n, 10].
        turn: of `misfit` in the upright photographs, [n].
        detected: they are the detector's, whose order is certain.
    """
    residual = float(np.median(misfit(numbers.reshape(-1, 5, 2))[0]))
    best = next(iter([] if detected else other_readings(numbers)), None)
    found = f"the median residual of the similarity fit is {residual:.2f} ({SCALE})"
    if best and best.residual < CLEARER * residual:
        found += f", but {best.residual:.2f} as {best}"
    reorder = f"bring them into the order {EXPECTED}, left as one sees it in the image"
    check = DETECTED if detected else f"check their order: {EXPECTED}, left as one sees it"
    rotation = float(np.median(np.abs(turn)))
    if best and best.residual < min(FACES, residual / 2):
        yield Doubt(f"the landmarks are in another order: {found}", reorder, refuse=True)
    elif residual > NO_FACE:
        yield Doubt(f"the landmarks cannot be those of faces: {found}", check, refuse=True)
    elif residual > SIDEWAYS:
        problem = f"the landmarks are of faces seen from the side, or not of faces: {found}"
        yield Doubt(problem, check)
    elif rotation > LYING:
        problem = f"the faces lie on their sides or upside down: rotated by {rotation:.0f} degrees"
        if best and best.residual < residual / CLEARER:
            problem += f" (median), but upright as {best}"
        yield Doubt(problem, check)
    elif best and best.residual < CLEARER * residual:
        yield Doubt(f"the landmarks may be in another order: {found}", check)


def doubts_of_images(shapes: Shapes, source: Texts) -> Iterator[Doubt]:
    """Doubts about the landmarks of some images; where it is most, `doubts_of_set` speaks."""
    check = "correct or remove their landmarks, by which these images are aligned as they are"
    for odd, problem in (
        (shapes.reordered, "have landmarks that are faces only in another order"),
        ((shapes.residual > NO_FACE) & ~shapes.reordered, "have landmarks that no face can show"),
    ):
        if 0 < (count := int(odd.sum())) <= np.isfinite(shapes.residual).sum() / 2:
            first = source[int(odd.argmax())]
            yield Doubt(f"{count} of {len(odd)} images {problem}; the first is {first}", check)
