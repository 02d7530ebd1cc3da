"""Whether landmarks that a data set brings lie where its images have faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages.align.doubts import ENOUGH, Doubt
from stages.core.geometry import CROP, TEMPLATE

CORNER = 1.5  # pixels: shares of width and height lie closer to the first pixel
SMALLEST = 8  # pixels of a side: in smaller images all landmarks are close to it
AROUND = 0.1  # share of a side by which a landmark may lie beyond the image
OUTSIDE = 0.25  # share of images with a landmark beyond that which is worth mentioning
AS_CROPS = 8.0  # pixels from the template, RMS, of landmarks of 112x112 crops
LARGE = 1.5 * CROP  # pixels of a side of images that are certainly not such crops
UPRIGHT = 45.0  # degrees


def doubts_of_place(
    landmarks: np.ndarray, width: np.ndarray, height: np.ndarray
) -> Iterator[Doubt]:
    """Doubts about where landmarks lie.

    Args:
        landmarks: [n, 10], finite, n > 0.
        width, height: of the images in pixels, [n].
    """
    points = landmarks.reshape(-1, 5, 2).astype(np.float64)
    sides = np.stack([width, height], axis=1)[:, None]
    corner = (np.abs(points).max((1, 2)) <= CORNER) & (sides.min((1, 2)) > SMALLEST)
    if (share := corner.mean()) > 0.5:
        problem = (
            f"the landmarks of {share:.0%} of the images lie within {CORNER} pixels of the corner"
        )
        yield Doubt(problem, "give them in pixels, not as shares of width and height", refuse=True)
        return
    measured = "give landmarks in pixels of these very images, not of what they were cut from"
    centre = points.mean(1, keepdims=True)
    if (share := ((centre < 0) | (centre > sides)).any((1, 2)).mean()) > 0.5:
        yield Doubt(f"{share:.0%} of the faces lie outside their images", measured, refuse=True)
    elif (share := _beyond(points, sides).mean()) > OUTSIDE:
        problem = f"{share:.0%} of the images have landmarks far outside of them"
        yield Doubt(problem, measured)
    distance = np.sqrt(((points - TEMPLATE) ** 2).sum(-1).mean(1))
    if np.median(sides.min((1, 2))) >= LARGE and np.median(distance) < AS_CROPS:
        size = "x".join(str(int(side)) for side in np.median(sides, axis=0)[0])
        problem = (
            f"the landmarks are those of {CROP}x{CROP} crops, and the images are larger ({size})"
        )
        yield Doubt(problem, "give landmarks in pixels of these images, or the crops")
    if len(points) >= ENOUGH and (points == points[0]).all():
        yield Doubt(f"all {len(points)} images have the same landmarks", "give each image its own")


def _beyond(points: np.ndarray, sides: np.ndarray) -> np.ndarray:
    return ((points < -AROUND * sides) | (points > (1 + AROUND) * sides)).any((1, 2))


def doubts_of_upright(turn: np.ndarray, quarters: np.ndarray) -> Iterator[Doubt]:
    """Doubts whether landmarks are of the pixels as stored, where EXIF entries turn photographs.

    Args:
        turn: of `misfit`, degrees [n].
        quarters: turns to the left that put each photograph upright, [n].
    """
    lying = quarters != 0
    of_upright = lying & (np.abs(turn) < UPRIGHT) & (np.abs(upright(turn, quarters)) > UPRIGHT)
    if (count := int(of_upright.sum())) > lying.sum() / 2:
        problem = (
            f"{count} of {lying.sum()} photographs that their EXIF entries turn (of {len(turn)} "
            "looked at) have landmarks of the upright picture"
        )
        remedy = "give landmarks of the pixels as they are stored, or store the photographs upright"
        yield Doubt(problem, remedy)


def upright(turn: np.ndarray, quarters: np.ndarray) -> np.ndarray:
    """The turn, -180..180, that is left once photographs have been turned `quarters` to the left.

    A quarter to the left multiplies x + iy by -i, since y points down, so that the fit turns by a
    quarter more.
    """
    return (turn + 90 * quarters + 180) % 360 - 180
