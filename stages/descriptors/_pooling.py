"""Template pooling as a linear map: every image enters with one weight.

The weights may depend on the images, the map does not: rows are sums, not normalised, so that the
pooled rows of two models or of an image and its mirror image may simply be added.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

SPAN = 16  # identifiers spread no wider than so many times their number are found by a table
MOST = 1 << 62  # of a number made of two
IMAGES_A_BLOCK = 512  # at a time, so that temporaries stay in the processor's cache
PARTS_A_THREAD = 8  # of a table of sums, since not all take the same time
LEAST = 1 << 20  # numbers that are worth a part of their own


@dataclass(frozen=True)
class Templates:
    """Which images make up which template.

    Attributes:
        ids: all templates in ascending order, int64 [T].
        image: row of the image in the features, int64 [m]; one entry an (image, template).
        template: position in `ids`, int64 [m].
        media: the still or video the image is from, int64 [m].
        score: the face detector's confidence, float32 [m].
    """

    ids: np.ndarray
    image: np.ndarray
    template: np.ndarray
    media: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, table: dict[str, np.ndarray], record: np.ndarray) -> Templates:
        """From the list `templates` of a set and the `record` column of its aligned index.

        Images that could not be aligned are left out; a template that loses all of its images
        keeps its id, and gets a row of zeros.
        """
        ids, template = _numbered(np.asarray(table["template"], np.int64))
        image = _rows(record, table["record"])
        found = image >= 0
        if found.all():
            found = slice(None)  # copies nothing
        return cls(
            ids.astype(np.int64, copy=False),
            image[found],
            template[found].astype(np.int64, copy=False),
            np.asarray(table["media"], np.int64)[found],
            np.asarray(table["score"], np.float32)[found],
        )

    @cached_property
    def medium(self) -> np.ndarray:
        """Number of each entry's medium inside its template: 0.., in order of template."""
        media = self.media
        if int(media.max(initial=0)) - int(media.min(initial=0)) >= MOST // (len(self.ids) + 1):
            media = _numbered(media)[1]
        lowest, highest = media.min(initial=0), media.max(initial=0)
        key = self.template * (highest - lowest + 1)
        key += media
        key -= lowest
        order = np.argsort(key, kind="stable")  # quick where the list is in order of template
        number = np.empty(len(order), np.int32)
        number[order] = np.cumsum(_new(key[order]), dtype=np.int32) - 1
        return number

    @cached_property
    def template_of_medium(self) -> np.ndarray:
        """Position in `ids` of each medium's template."""
        template = np.empty(self.medium.max(initial=-1) + 1, np.int64)
        template[self.medium] = self.template
        return template

    @cached_property
    def media_shares(self) -> np.ndarray:
        """1 / images of its medium in the template, for each entry: media mean, sum of media."""
        return (1 / np.bincount(self.medium))[self.medium]


def _numbered(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct `names` in ascending order, and the place of each, as np.unique gives them."""
    if _ascending(names):
        new = _new(names)
        return names[new], np.cumsum(new) - 1
    lowest, highest = names.min(initial=0), names.max(initial=0)
    if int(highest) - int(lowest) > SPAN * len(names):
        return np.unique(names, return_inverse=True)
    there = np.zeros(highest - lowest + 1, bool)
    there[names - lowest] = True
    return np.flatnonzero(there) + lowest, (np.cumsum(there) - 1)[names - lowest]


def _ascending(names: np.ndarray) -> bool:
    return not np.any(names[1:] < names[:-1])


def _new(names: np.ndarray) -> np.ndarray:
    """Whether each differs from the one before, bool; the first does."""
    new = np.ones(len(names), bool)
    np.not_equal(names[1:], names[:-1], out=new[1:])
    return new


def _rows(record: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Where `record`, of distinct numbers, has each that is asked for; -1 where it has not."""
    if np.array_equal(record, asked):
        return np.arange(len(record))
    row_of = np.full(max(record.max(initial=-1), asked.max(initial=-1)) + 1, -1)
    row_of[record] = np.arange(len(record))
    return row_of[asked]


def lengths(embedding: np.ndarray, mirrored: np.ndarray | None) -> np.ndarray:
    """Length of each (flip-test) vector, float64 [n]; 1 where it is 0, to divide by."""
    result = np.empty(len(embedding))
    for start in range(0, len(embedding), IMAGES_A_BLOCK):
        some = slice(start, start + IMAGES_A_BLOCK)
        vectors = embedding[some] if mirrored is None else embedding[some] + mirrored[some]
        result[some] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    result[result == 0] = 1
    return result


def weighted_sums(
    vectors: np.ndarray, row: np.ndarray, group: np.ndarray, weight: np.ndarray, groups: int
) -> np.ndarray:
    """Sum of weight * vectors[row] over the entries of each group: float32 [groups, d].

    A sum is taken in the order of its entries, by however many threads. Raise IndexError for a row
    that is none.
    """
    from scipy.sparse import csr_array

    if len(row) and not 0 <= row.min() <= row.max() < len(vectors):
        raise IndexError(f"rows {row.min()} to {row.max()} of {len(vectors)}")
    if not _ascending(group):
        order = np.argsort(group, kind="stable")
        row, group, weight = row[order], group[order], weight[order]
    vectors = np.ascontiguousarray(vectors, np.float32)
    weight = weight.astype(np.float32)
    begins = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=begins[1:])
    sums = np.empty((groups, vectors.shape[1]), np.float32)

    def fill(part: tuple[int, int]) -> None:
        first, last = part
        own = slice(begins[first], begins[last])
        entries = (weight[own], row[own], begins[first : last + 1] - begins[first])
        sums[first:last] = csr_array(entries, shape=(last - first, len(vectors))) @ vectors

    threads = os.cpu_count() or 1
    parts = min(PARTS_A_THREAD * threads, 1 + len(row) * vectors.shape[1] // LEAST)
    cuts = np.searchsorted(begins, np.linspace(0, len(row), parts + 1))
    cuts[[0, -1]] = 0, groups
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, pairwise(np.unique(cuts).tolist())))
    return sums


def pool(
    templates: Templates, embedding: np.ndarray, mirrored: np.ndarray | None, weight: np.ndarray
) -> np.ndarray:
    """Sum over each template of weight * (embedding + mirrored): float32 [T, d].

    `weight` is float [m], one for each entry of `templates`.
    """
    entries = (templates.image, templates.template, weight, len(templates.ids))
    rows = weighted_sums(embedding, *entries)
    if mirrored is not None:
        rows += weighted_sums(mirrored, *entries)
    return rows
