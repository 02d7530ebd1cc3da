"""Verification on every pair of a set's images, by one threshold for all.

Image i of a pair (i < j, in the order of the set) is seen at r1, image j at r2; each pair is scored
once. With few images this gives the most that can be said of a model: for r1 = r2 all genuine and
all impostor pairs there are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from stages.core.errors import InputError
from stages.core.index import Index
from stages.core.params import Rate, Section
from stages.protocols._bootstrap import Resampling
from stages.protocols._faces import Items
from stages.protocols._result import Result
from stages.protocols._rows import Rows
from stages.protocols._subjects import image_subjects
from stages.protocols._tables import Tables
from stages.protocols._vectors import by_blocks, unit
from stages.protocols._verification import verification

MOST_IMAGES = 20_000  # 2e8 pairs: about 4 GB of scores and people

NEEDS = ("labels", "templates")  # of an image set: this list


class Params(Section):
    """
    flip: compare the sums over the image and its mirror image.
    far: false accept rates at which the true accept rate is given.
    pick: at_most = largest TAR whose FAR does not exceed the target; nearest = TAR at the nearest
        FAR, which may exceed it (as the reference evaluations of IJB).
    """

    flip: bool = True
    far: list[Rate] = [1e-1, 1e-2, 1e-3]
    pick: Literal["at_most", "nearest"] = "at_most"


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """AUC, EER and TAR by row.

    Raise InputError if fewer than two people, no person with two images, or too many images.
    """
    images, person = image_subjects(tables, index)
    _check(person, tables)
    first, second = np.triu_indices(len(images), 1)
    same = person[first] == person[second]
    people = resampling.pairs(person, first, second, same)
    items = Items(first, second, images)
    results = {}
    for row, left, right in rows.images(params.flip):
        scores = upper_triangle(unit(left[images]), unit(right[images]))
        results[row] = verification(
            scores, same, people, params.far, params.pick, resampling, items
        )
    return results


def upper_triangle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Scores of rows i of `first` with rows j > i of `second`, in the order of triu_indices."""
    count = len(first)
    scores = np.empty(count * (count - 1) // 2, np.float32)
    written = 0

    def visit(some: slice, block: np.ndarray) -> None:
        nonlocal written
        for i, line in zip(range(some.start, some.stop), block, strict=True):
            scores[written : written + count - i - 1] = line[i + 1 :]
            written += count - i - 1

    by_blocks(first, second, visit)
    return scores


def _check(person: np.ndarray, tables: Tables) -> None:
    counts = np.unique(person, return_counts=True)[1]
    images = f"{len(person)} images of {len(counts)} people"
    if len(counts) < 2 or counts.max() < 2:
        remedy = "choose a set with several people and several images of one"
        raise InputError(tables.folder, f"{images} make no pairs of both kinds", remedy)
    if len(person) > MOST_IMAGES:
        remedy = f"use the protocol templates, or a set of at most {MOST_IMAGES} images"
        raise InputError(tables.folder, f"{images} make more pairs than fit in memory", remedy)
