"""What a confidence is worth: the length of an embedding (MagFace), kappa (SCF).

Two questions. Does it tell an image from its copy of r pixels: AUC of originals over copies. And
do errors vanish when the pairs it trusts least are refused: FNMR at FMR 1e-3 over the pairs that
remain (MagFace, figure 6; here pairs are refused, not images). A pair's confidence is the lower of
its two.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from stages.core.index import UNKNOWN_LABEL, Index
from stages.core.params import Section
from stages.protocols._bootstrap import Resampling, percentiles, resampled_roc, wilson
from stages.protocols._result import Result, measure
from stages.protocols._roc import Scores
from stages.protocols._rows import Rows
from stages.protocols._subjects import image_subjects
from stages.protocols._tables import Tables
from stages.protocols._vectors import positions, unit

FMR = 1e-3
REJECTED = np.arange(0, 1, 0.05)  # shares of the pairs
QUOTED = (0.0, 0.2)


class Params(Section):
    """
    threshold: of the rejection curve: at_most = lowest threshold with FMR 1e-3 or less; decades =
        MagFace's walk by tenths of the impostors, which stops short on fewer than 101.
    """

    threshold: Literal["at_most", "decades"] = "at_most"


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """`auc@px=r` of each confidence (rows: norm, kappa, ..), and for packs the curve `reject`."""
    full = rows.sizes[max(rows.sizes)]
    confidences = {"norm": (full, "norm")} | {
        row: (model, "kappa") for row, model in rows.heads.items()
    }
    images, people, method = _images(tables, index, resampling)
    results = {}
    for row, (model, name) in confidences.items():
        confidence = rows.read(model, name)
        measures, curves = {}, {}
        for size, upsampled in rows.upsampled.items():
            copies = (
                rows.read(upsampled, name) if row == "norm" else rows.read(model, f"{name}_{size}")
            )
            value, interval = _separation(confidence[images], copies[images], people, resampling)
            measures[f"auc@px={size}"] = measure(value, interval, len(images), method)
        if "pairs" in tables:
            embedding = rows.read(full, "embedding")
            rates, curves["reject"] = _rejection(embedding, confidence, tables, index, params)
            measures |= rates
        results[row] = Result(measures, curves)
    return results


def _images(
    tables: Tables, index: Index, resampling: Resampling
) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows of distinct images, who is on each, and how intervals are found.

    Where no person is known, as in packs, each image stands for itself.
    """
    if "templates" in tables or np.any(np.asarray(index.label) != UNKNOWN_LABEL):
        images, people = image_subjects(tables, index)
        what = "subjects"
    else:
        images = np.sort(np.unique(np.asarray(index.sha1, str), return_index=True)[1])
        people, what = images, "images"
    groups = resampling.grouped(people)[1]
    return images, people, resampling.method(len(np.unique(people)), what, groups)


def _separation(
    originals: np.ndarray, copies: np.ndarray, people: np.ndarray, resampling: Resampling
) -> tuple[float, tuple[float, float]]:
    """AUC of the confidence of originals over that of copies, and its interval."""
    group, groups = resampling.grouped(people)
    samples = resampled_roc((originals, group), (copies, group, group), groups, resampling)
    both = np.concatenate([originals, copies])
    auc = Scores(both, np.arange(len(both)) < len(originals)).roc.auc()
    return auc, percentiles(samples.auc())


def _rejection(
    embedding: np.ndarray, confidence: np.ndarray, tables: Tables, index: Index, params: Params
) -> tuple[dict, dict]:
    pairs = tables["pairs"]
    left, right = (positions(index.record, pairs[side]) for side in ("first", "second"))
    kept = (left >= 0) & (right >= 0)
    left, right, same = left[kept], right[kept], np.asarray(pairs["same"], bool)[kept]
    cosine = np.einsum("ij,ij->i", unit(embedding[left]), unit(embedding[right]))
    lower = np.minimum(confidence[left], confidence[right])
    fnmr, genuine = rejection_curve(cosine, same, lower, params.threshold)
    measures = {}
    for share in QUOTED:
        at = int(np.argmin(np.abs(REJECTED - share)))
        if np.isfinite(fnmr[at]):
            wrong = round(fnmr[at] * genuine[at])
            measures[f"fnmr@reject={share:g}"] = measure(
                fnmr[at],
                wilson(wrong, genuine[at]),
                genuine[at],
                f"Wilson; FMR {FMR:g} over the pairs kept, {params.threshold}",
                errors=wrong,
            )
    known = np.isfinite(fnmr)
    return measures, {"reject": REJECTED[known], "fnmr": fnmr[known]}


def rejection_curve(
    scores: np.ndarray, same: np.ndarray, confidence: np.ndarray, threshold: str
) -> tuple[np.ndarray, np.ndarray]:
    """FNMR at FMR 1e-3 after refusing each share REJECTED of the pairs, least trusted first.

    Returns:
        FNMR, NaN where it is not defined, and the genuine pairs that remain; both [20].
    """
    order = np.argsort(confidence, kind="stable")
    fnmr, genuine = np.full(len(REJECTED), np.nan), np.zeros(len(REJECTED), np.int64)
    for k, share in enumerate(REJECTED):
        kept = order[int(share * len(order)) :]
        own, others = scores[kept][same[kept]], scores[kept][~same[kept]]
        genuine[k] = len(own)
        limit = _limit(others, threshold)
        if len(own) and limit is not None:
            fnmr[k] = np.mean(own <= limit)
    return fnmr, genuine


def _limit(impostors: np.ndarray, threshold: str) -> float | None:
    """The score that an accepted pair exceeds; None where the definition gives none."""
    falling = np.sort(impostors)[::-1]
    last = len(falling) - 1
    if threshold == "decades":  # last / 10 / 10 / 10, each rounded down, unless 0 comes first
        return falling[last // 1000] if last // 100 > 0 else None
    return falling[int(FMR * len(falling) + 1e-9)] if len(falling) else None
