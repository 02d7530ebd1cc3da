"""Cosines of many pairs: unit rows, and pairs scored out of blocked matrix products."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

BLOCK_CELLS = 1 << 23  # of a block of scores to pick pairs from: 32 MiB, for few large products
SEARCH_CELLS = 1 << 20  # of a block that is looked at in full: 4 MiB stay near the processor
FEWEST_ROWS = 64  # of such a block, or the product is slow
DENSE = 1 / 32  # share of all combinations from which whole products beat single pairs
PAIRS_A_BLOCK = 1 << 8  # scored one by one: both sides stay in the processor's cache
LOOKUP_SPAN = 1 << 26  # identifiers up to here are found by a table


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32 [n, d]; rows of zeros (nothing was seen) stay zero."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    return vectors / lengths[:, None].astype(np.float32)


def positions(identifiers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of `wanted` stands in `identifiers`, which are distinct; -1 if nowhere."""
    identifiers, wanted = np.asarray(identifiers), np.asarray(wanted)
    if not len(identifiers) or not len(wanted):
        return np.full(len(wanted), -1)
    lowest = int(min(identifiers.min(), wanted.min()))
    span = int(max(identifiers.max(), wanted.max())) + 1
    if lowest < 0 or span > LOOKUP_SPAN:
        order = np.argsort(identifiers)
        place = np.searchsorted(identifiers, wanted, sorter=order).clip(0, len(order) - 1)
        found = order[place]
        return np.where(identifiers[found] == wanted, found, -1)
    table = np.full(span, -1, np.int32)
    table[identifiers] = np.arange(len(identifiers), dtype=np.int32)
    return table[wanted]


def pair_scores(
    first: np.ndarray, second: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Cosine of row `left[k]` of `first` with row `right[k]` of `second`: float32 [pairs].

    Lists that combine few rows with many, as IJB's do, are read out of blocked matrix products;
    sparse lists pair by pair.

    Args:
        first, second: unit rows, float32 [n, d] and [m, d].
        left, right: rows of each pair.
    """
    row_of, column_of = _numbered(left, len(first)), _numbered(right, len(second))
    combinations = np.count_nonzero(row_of >= 0) * np.count_nonzero(column_of >= 0)
    if len(left) <= DENSE * combinations:
        return _singly(first, second, left, right)
    used_first, used_second = first[row_of >= 0], second[column_of >= 0]
    order = None
    if np.any(left[1:] < left[:-1]):
        # a stable sort of 16-bit keys is a radix sort: linear
        keys = left.astype(np.uint16) if len(first) <= 1 << 16 else left
        order = np.argsort(keys, kind="stable")
        left, right = left[order], right[order]
    step = max(1, BLOCK_CELLS // len(used_second))
    rows = np.flatnonzero(row_of >= 0).astype(left.dtype)
    ends = np.append(np.searchsorted(left, rows[::step]), len(left))
    scores = np.empty(len(left), np.float32)
    product = np.empty((step, len(used_second)), np.float32)
    for block, (start, end) in enumerate(pairwise(ends)):
        some = used_first[block * step : (block + 1) * step]
        np.matmul(some, used_second.T, out=product[: len(some)])
        # NumPy picks by its own integers in half the time.
        cells = row_of[left[start:end].astype(np.intp)] - block * step
        cells *= len(used_second)
        cells += column_of[right[start:end].astype(np.intp)]
        product.reshape(-1).take(cells, out=scores[start:end], mode="clip")  # clip: in place
    if order is None:
        return scores
    unsorted = np.empty_like(scores)
    unsorted[order] = scores
    return unsorted


def _numbered(rows: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` rows its place among those that occur in `rows`; -1 for the others."""
    used = np.zeros(count, bool)
    used[rows.astype(np.intp, copy=False)] = True
    return np.where(used, np.cumsum(used) - 1, -1)


def _singly(
    first: np.ndarray, second: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    scores = np.empty(len(left), np.float32)
    x, y = np.empty((2, PAIRS_A_BLOCK, first.shape[1]), np.float32)
    for start in range(0, len(left), PAIRS_A_BLOCK):
        some = slice(start, start + PAIRS_A_BLOCK)
        count = len(left[some])
        first.take(left[some], axis=0, out=x[:count], mode="clip")  # clip: in place
        second.take(right[some], axis=0, out=y[:count], mode="clip")
        np.einsum("ij,ij->i", x[:count], y[:count], out=scores[some])
    return scores


def by_blocks(
    probes: np.ndarray, gallery: np.ndarray, visit: Callable[[slice, np.ndarray], None]
) -> None:
    """Call `visit(rows of probes, their scores [rows, gallery])` over all blocks of probes."""
    gallery = np.ascontiguousarray(gallery)
    step = max(FEWEST_ROWS, SEARCH_CELLS // max(1, len(gallery)))
    product = np.empty((step, len(gallery)), np.float32)
    for start in range(0, len(probes), step):
        some = probes[start : start + step]
        scores = np.matmul(some, gallery.T, out=product[: len(some)])
        visit(slice(start, start + len(some)), scores)
