"""1:1 verification of templates (IJB-B, IJB-C): one descriptor each, cosine of listed pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import numpy as np

from stages.core.index import Index
from stages.core.params import Rate, Section
from stages.protocols._bootstrap import Resampling
from stages.protocols._faces import Items
from stages.protocols._result import Result
from stages.protocols._rows import Rows, Score
from stages.protocols._subjects import (
    people_of_pairs,
    template_ids,
    template_images,
    template_subjects,
)
from stages.protocols._tables import Tables
from stages.protocols._vectors import pair_scores, positions, unit
from stages.protocols._verification import verification

NEEDS = ("template_pairs",)  # of an image set: this list


class Params(Section):
    """
    far: false accept rates; those below one impostor pair are left out.
    pick: at_most = largest TAR whose FAR does not exceed the target; nearest = TAR at the nearest
        FAR, which may exceed it (as the reference evaluations of IJB).
    descriptor: the pooling that the rows of settings r1&r2 use.
    fused: rows r1&r2 compare templates of which every image enters as the sum of its r1 copy and
        its mirrored r2 copy (BTNet's IJB-C tables); otherwise the first template is seen at r1, the
        second at r2.
    """

    far: list[Rate] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    pick: Literal["at_most", "nearest"] = "at_most"
    descriptor: Literal["mean", "norm"] = "mean"
    fused: bool = False


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """AUC, EER and TAR by row.

    Raise InputError if a pair names an unknown template, or all pairs are of one kind.
    """
    pairs = tables["template_pairs"]
    ids, subjects = template_ids(tables), template_subjects(tables)
    left, right = (positions(ids, pairs[side]) for side in ("first", "second"))
    same = np.asarray(pairs["same"], bool)
    _check(tables, left, right, same)
    persons = people_of_pairs(subjects, left[same], right[same])
    people = resampling.pairs(persons, left, right, same)
    items = Items(left, right, template_images(tables, index))
    results = {}
    for row, score in _scores(rows, params):
        results[row] = verification(
            score(left, right), same, people, params.far, params.pick, resampling, items
        )
        if row in rows.likelihoods:
            del results[row].curves["scores"]  # no cosines
    return results


def _scores(rows: Rows, params: Params) -> Iterator[tuple[str, Score]]:
    for row, first, second in rows.templates(params.descriptor, params.fused):
        yield row, partial(pair_scores, unit(first), unit(second))
    yield from rows.template_scores()


def _check(tables: Tables, left: np.ndarray, right: np.ndarray, same: np.ndarray) -> None:
    missing = np.flatnonzero((left < 0) | (right < 0))
    if len(missing):
        problem = "one of its templates is in no line of the list templates"
        raise tables.error("template_pairs", problem, int(missing[0]))
    if same.all() or not same.any():
        raise tables.error("template_pairs", f"{same.sum()} of {len(same)} pairs are genuine")
