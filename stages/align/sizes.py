"""Images that are taken as they come (`align: none`) and are not what a model is fed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages.align.doubts import Doubt
from stages.core.geometry import CROP
from stages.core.index import Index

SPHEREFACE = (96, 112)  # width, height of crops by the same template without eight columns a side
NATIVE = (
    "that is right for faces of native size (QMUL-SurvFace) and for crops of ArcFace's template at "
    "another scale; set `align: detect` for all others"
)
PAD = "pad crops of 96x112 (SphereFace's) with 8 columns on the left and on the right"
LANDMARKS = "the set brings landmarks: set `align: landmarks` to crop by them"


def count_sizes(index: Index) -> dict[str, int]:
    """Number of images that are not 112x112, and of those that are not square."""
    width, height = np.asarray(index.width), np.asarray(index.height)
    other = (width != CROP) | (height != CROP)
    return {"other_size": int(other.sum()), "not_square": int((width != height).sum())}


def doubts_of_sizes(index: Index) -> Iterator[Doubt]:
    """What is done with images that are not 112x112."""
    counts = count_sizes(index)
    if not counts["other_size"]:
        return
    sizes = np.stack([index.width, index.height], axis=1)
    sizes = sizes[(sizes != CROP).any(1)]
    least, most = sizes[sizes.prod(1).argmin()], sizes[sizes.prod(1).argmax()]
    span = f"{least[0]}x{least[1]}"
    if (least != most).any():
        span += f" to {most[0]}x{most[1]}"
    problem = (
        f"{counts['other_size']} of {len(index)} images are not {CROP}x{CROP} ({span}) and are "
        "resized to the side that a model takes"
    )
    if counts["not_square"]:
        problem += f"; {counts['not_square']} are not square, and are stretched by that"
    if (sizes == SPHEREFACE).all():
        yield Doubt(problem, PAD)
    elif np.isfinite(index.landmarks).all(1).any():
        yield Doubt(problem, LANDMARKS)
    else:
        yield Doubt(problem, NATIVE)
