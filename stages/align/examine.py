"""What is measured about an image set before its crops are made, and what ends the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.align.doubts import settle
from stages.align.landmarks import COINCIDE, MISSING, NO_FACE, NO_LANDMARKS
from stages.align.place import doubts_of_place, doubts_of_upright, upright
from stages.align.shape import distribution, doubts_of_images, doubts_of_set, measure
from stages.align.sizes import count_sizes, doubts_of_sizes
from stages.datasets._encoded import quarters
from stages.datasets._store import ImageStore

UNPLACED = (NO_FACE, NO_LANDMARKS, COINCIDE, MISSING)  # reasons that leave nothing to measure
SAMPLE = 1_000  # images, evenly spaced, that are read in other orders and whose EXIF is looked at


def examine_sizes(store: ImageStore, root: Path, image_set: str) -> dict[str, float]:
    """Counts of images of other sizes than a model's; says what is done with them."""
    settle(doubts_of_sizes(store.index), root, image_set, len(store))
    return count_sizes(store.index)


def examine_landmarks(
    store: ImageStore, landmarks: np.ndarray, reasons: np.ndarray, way: str, root: Path, name: str
) -> dict[str, float]:
    """Quantiles of residual and rotation; says what is odd.

    Args:
        landmarks: [n, 10].
        reasons: of `unusable`, [n].
        way: `landmarks` or `detect`.
        root: the folder or file to name in an error.
        name: of the image set.

    Raises:
        InputError: the landmarks cannot be those of faces in these images.
    """
    usable, placed = reasons == "", ~np.isin(reasons, UNPLACED)
    rows = np.flatnonzero(placed)
    if not len(rows):
        return {}
    shapes = measure(np.where(placed[:, None], landmarks, np.nan))
    sample = rows[:: -(-len(rows) // SAMPLE)]
    turn = shapes.turn[sample]
    turns = np.array([quarters(store.encoded(row)) for row in sample])
    doubts = list(doubts_of_set(landmarks[sample], upright(turn, turns), way == "detect"))
    doubts += doubts_of_images(shapes, store.index.source)
    if way == "landmarks":
        doubts += doubts_of_place(
            landmarks[rows], store.index.width[rows], store.index.height[rows]
        )
        doubts += doubts_of_upright(turn, turns)
    settle(doubts, root, name, len(rows))
    return distribution(shapes, usable)
