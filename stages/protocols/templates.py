"""1:1 verification of templates (IJB-B, IJB-C): one descriptor each, cosine of listed pairs."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stages.core.index import Index
from stages.core.params import Section
from stages.protocols._bootstrap import Resampling
from stages.protocols._result import Result
from stages.protocols._rows import Rows
from stages.protocols._subjects import NOBODY, template_ids, template_subjects
from stages.protocols._tables import Tables
from stages.protocols._vectors import pair_scores, positions, unit
from stages.protocols._verification import verification


class Params(Section):
    """
    far: false accept rates; those below one impostor pair are left out.
    pick: at_most = largest TAR whose FAR does not exceed the target; nearest = TAR at the nearest
        FAR, which may exceed it (as the reference evaluations of IJB).
    descriptor: the pooling that the rows of settings r1&r2 use.
    fused: rows r1&r2 compare templates whose images are all seen at r1 and at r2, both summed
        (BTNet's IJB-C tables); otherwise the first template is seen at r1, the second at r2.
    """

    far: list[float] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    pick: Literal["at_most", "nearest"] = "at_most"
    descriptor: str = "mean"
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
    # a template that no list names is a person of its own
    strangers = np.where(subjects == NOBODY, -2 - np.arange(len(subjects)), subjects)
    people = resampling.pairs(strangers, left, right, same)
    results = {}
    for row, first, second in rows.templates(params.descriptor, params.fused):
        first, second = unit(first), unit(second)
        scores = pair_scores(first, second, left, right)
        results[row] = verification(scores, same, people, params.far, params.pick, resampling)
    return results


def _check(tables: Tables, left: np.ndarray, right: np.ndarray, same: np.ndarray) -> None:
    missing = np.flatnonzero((left < 0) | (right < 0))
    if len(missing):
        problem = "one of its templates is in no line of the list templates"
        raise tables.error("template_pairs", problem, int(missing[0]))
    if same.all() or not same.any():
        raise tables.error("template_pairs", f"{same.sum()} of {len(same)} pairs are genuine")
