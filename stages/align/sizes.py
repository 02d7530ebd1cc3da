"""Images that are taken as they come (`align: none`) and are not what a model is fed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages.align.doubts import Doubt
from stages.core.geometry import CROP
from stages.core.index import Index

SPHEREFACE = (96, 112)  # width, height of crops by the same template without eight columns a side
NATIVE = (
    "right for images of native size (QMUL-SurvFace); otherwise set `align: detect`, "
    "or crop them to 112x112"
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
    width, height = np.asarray(index.width), np.asarray(index.height)
    other = (width != CROP) | (height != CROP)
    sizes = np.stack([width, height], axis=1)[other]
    least, most = sizes[sizes.prod(1).argmin()], sizes[sizes.prod(1).argmax()]
    span = f"{least[0]}x{least[1]}"
    if (least != most).any():
        span += f" to {most[0]}x{most[1]}"
    problem = (
        f"{counts['other_size']} of {len(index)} images are not {CROP}x{CROP} ({span}), "
        f"{counts['not_square']} are not square: each is resized to the side that a model takes, "
        "width and height separately, so that what is not square is stretched"
    )
    if (sizes == SPHEREFACE).all():
        yield Doubt(problem, PAD)
    elif np.isfinite(index.landmarks).all(1).any():
        yield Doubt(problem, LANDMARKS)
    else:
        yield Doubt(problem, NATIVE)
