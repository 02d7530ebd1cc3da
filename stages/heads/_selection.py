"""Farthest-point selection over sets of any sizes at once, without padding.

FaceCoresetNet (Shapira and Keller, AAAI 2024): the first point of a set is the image of largest
norm; each next is the one farthest from those chosen, in the metric n^gamma (1 - cos) / 2, where
n is the candidate's own norm.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

IMAGES_A_BLOCK = 1024  # so that a block's vectors stay in the processor's cache between picks
SETS_A_BLOCK = 16  # a block's images are multiplied with the picks of all of its sets
CHOSEN = -1.0  # distance of a point that is chosen already; others have 0 or more
NOT_THERE = -1


def farthest_points(
    unit: np.ndarray, norm: np.ndarray, sizes: np.ndarray, gamma: float, count: int
) -> np.ndarray:
    """Rows chosen from each set in order of choice, int64 [sets, count].

    A set of fewer than `count` images is chosen whole; NOT_THERE fills its row. Of equally good
    candidates the first is taken, and no image is taken twice. An image of norm zero says nothing:
    its distance is 0, so it is chosen last.

    Args:
        unit: float32 [n, d], rows of length 1 (or 0), one set after the other.
        norm: [n], their lengths before that.
        sizes: images of each set, int [sets]; may be 0.
        gamma: exponent of the norm.
        count: points to choose.
    """
    sizes = np.asarray(sizes)
    starts = np.cumsum(sizes) - sizes
    seen = norm > 0
    # The metric's constant factor of a half moves no choice.
    weight = np.zeros(len(norm), np.float32)
    np.power(norm, gamma, out=weight, where=seen, casting="same_kind")
    picks = np.full((len(sizes), count), NOT_THERE, np.int64)
    filled = np.flatnonzero(sizes)
    for first, last in _blocks(sizes[filled]):
        sets = filled[first:last]
        start, end = starts[sets[0]], starts[sets[-1]] + sizes[sets[-1]]
        block = unit[start:end], norm[start:end], weight[start:end]
        chosen = _select(*block, sizes[sets], count) if last - first > 1 else _alone(*block, count)
        picks[sets, : chosen.shape[1]] = np.where(chosen >= 0, chosen + start, NOT_THERE)
    return picks


def _blocks(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of sets, as many as fit a block, one at least."""
    first = images = 0
    for k, size in enumerate(sizes.tolist()):
        if k > first and (images + size > IMAGES_A_BLOCK or k - first == SETS_A_BLOCK):
            yield first, k
            first, images = k, 0
        images += size
    if len(sizes):
        yield first, len(sizes)


def _select(
    unit: np.ndarray, norm: np.ndarray, weight: np.ndarray, sizes: np.ndarray, count: int
) -> np.ndarray:
    """The picks of a block, none of its sets empty."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    row = np.arange(len(unit))
    picks = np.full((len(sizes), count), NOT_THERE, np.int64)
    pick = picks[:, 0] = _first_largest(norm, starts, owner)
    distance = np.full(len(unit), np.inf, np.float32)
    for k in range(1, min(count, sizes.max())):
        # Each image with the picks of all sets of the block: one product of matrices, of which
        # one column an image is wanted, takes less time than the gather of one pick an image.
        cosine = (unit @ unit[pick].T)[row, owner]
        np.minimum(distance, np.maximum(weight * (1 - cosine), 0), out=distance)
        distance[pick] = CHOSEN
        pick = _first_largest(distance, starts, owner)
        open_ = sizes > k
        picks[open_, k] = pick[open_]
    return picks


def _alone(unit: np.ndarray, norm: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """The picks of one set [1, min(count, n)]: the same without the bookkeeping of many."""
    picks = [int(norm.argmax())]
    distance = np.full(len(unit), np.inf, np.float32)
    while len(picks) < min(count, len(unit)):
        new = weight * (1 - unit @ unit[picks[-1]])
        np.minimum(distance, np.maximum(new, 0, out=new), out=distance)
        distance[picks[-1]] = CHOSEN
        picks.append(int(distance.argmax()))
    return np.array([picks])


def _first_largest(values: np.ndarray, starts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Row of the first largest value of each set."""
    candidates = np.flatnonzero(values == np.maximum.reduceat(values, starts)[owner])
    return candidates[np.searchsorted(candidates, starts)]
