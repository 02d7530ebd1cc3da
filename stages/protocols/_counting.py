"""How many of very many scores lie below a few of them, exactly, in two passes and no sort."""

from __future__ import annotations

import numpy as np

SORTED = 1 << 20  # up to so many scores are simply sorted
BUCKETS = 1 << 21  # at most
SCORES_A_BUCKET = 8  # on average
BLOCK = 1 << 18  # scores at a time, so that temporaries stay in the processor's cache


def counts_below(scores: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `values`, how many scores are less, and how many are less or equal.

    Scores are counted in equally wide buckets. Only those that share a bucket with one of the
    values are looked at one by one: rounding never swaps two numbers, so the buckets are in order.

    Args:
        scores: float [n], no NaN.
        values: rising, taken from `scores`.
    """
    buckets = min(BUCKETS, len(scores) // SCORES_A_BUCKET)
    lowest = scores.min()
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = scores.dtype.type(np.float64(buckets - 1) / (np.float64(scores.max()) - lowest))
    if len(scores) <= SORTED or not 0 < scale < np.inf:  # all alike, or infinite
        rising = np.sort(scores)
        return np.searchsorted(rising, values, "left"), np.searchsorted(rising, values, "right")
    own = _buckets(values, lowest, scale, buckets)
    # segments: 2k + 1 is the k-th bucket that holds a value, 2k are the buckets between two
    used, number = np.unique(own, return_inverse=True)
    segment = np.zeros(buckets, np.int32)
    segment[used] = 1
    segment = 2 * np.cumsum(segment, dtype=np.int32) - segment
    count, near = np.zeros(2 * len(used) + 1, np.int64), []
    for start in range(0, len(scores), BLOCK):
        some = scores[start : start + BLOCK]
        place = segment.take(_buckets(some, lowest, scale, buckets), mode="clip")  # the fast mode
        count += np.bincount(place, minlength=len(count))
        near.append(some[(place & 1).astype(bool)])
    rising = np.sort(np.concatenate(near))
    # `rising` holds what the lower odd segments hold: only the even ones are still to be added
    before = np.cumsum(count[::2])[number]
    return (
        before + np.searchsorted(rising, values, "left"),
        before + np.searchsorted(rising, values, "right"),
    )


def _buckets(
    scores: np.ndarray, lowest: np.floating, scale: np.floating, buckets: int
) -> np.ndarray:
    place = scores - lowest
    place *= scale
    return np.minimum(place.astype(np.int32), buckets - 1)
