"""What a confidence is worth: the length of an embedding (MagFace), kappa (SCF).

Two questions. Does it tell an image from its copy of r pixels: AUC of originals over copies. And
do errors vanish when the pairs it trusts least are discarded: FNMR over the share discarded (EDC,
ISO/IEC 29794-1). A pair's confidence is the lower of its two.

`iso`: the threshold is fixed once, on all impostor pairs; genuine pairs are discarded below a
rising confidence, so that pairs of equal confidence go together. `magface` (MagFace, figure 6):
genuine and impostor pairs are discarded alike, in the order of the list where they are equal, and
the threshold is found anew for those that remain.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from stages.core.index import UNKNOWN_LABEL, Index
from stages.core.params import Section
from stages.protocols._bootstrap import (
    Drawn,
    Resampling,
    effective_count,
    resampled_roc,
    weighted_share,
)
from stages.protocols._result import Measure, Result, measure
from stages.protocols._roc import MOST_POINTS, ROUNDING, Scores
from stages.protocols._rows import Rows
from stages.protocols._subjects import image_subjects, linked_people
from stages.protocols._tables import Tables
from stages.protocols._vectors import positions, unit

REJECTED = np.arange(0, 1, 0.05)  # shares of the pairs, of MagFace's curve
MAGFACE_FMR = 1e-3
QUOTED = (0.0, 0.2)
REPLICATES_AT_A_TIME = 64


class Params(Section):
    """
    curve: iso or magface (see the head of this file).
    fmr: false match rate that the threshold of `iso` does not exceed.
    discard: share of the genuine pairs up to which the area under the curve `iso` is taken.
    """

    curve: Literal["iso", "magface"] = "iso"
    fmr: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    discard: Annotated[float, Field(gt=0, le=1)] = 0.2


class Pairs(NamedTuple):
    """The pairs of a pack whose images are both there.

    Attributes:
        left, right: rows of the aligned index, int64 [pairs].
        same: bool [pairs].
        person: number of the person of each genuine pair, 0..n-1.
    """

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    person: np.ndarray


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """`auc@px=r` of each confidence (rows: norm, kappa, ..), and for packs the curve `edc`.

    `fnmr@discard=x` is its height where the share x is discarded, `pauc@discard=x` its mean height
    from 0 to x.
    """
    full = rows.sizes[max(rows.sizes)]
    confidences = {"norm": (full, "norm")} | rows.heads
    pairs = _pairs(tables, index) if "pairs" in tables else None
    images, people, drawn = _images(tables, index, pairs, resampling)
    results = {}
    for row, (model, name) in confidences.items():
        confidence = rows.read(model, name)
        measures, curves = {}, {}
        for size, upsampled in rows.upsampled.items():
            copies = (
                rows.read(upsampled, name) if row == "norm" else rows.read(model, f"{name}_{size}")
            )
            measures[f"auc@px={size}"] = _separation(
                confidence[images], copies[images], people, drawn, resampling
            )
        if pairs is not None:
            embedding = rows.read(full, "embedding")
            cosine = np.einsum(
                "ij,ij->i", unit(embedding[pairs.left]), unit(embedding[pairs.right])
            )
            lower = np.minimum(confidence[pairs.left], confidence[pairs.right])
            curve = _discarding if params.curve == "iso" else _magface
            rates, curves["edc"] = curve(cosine, lower, pairs, params, resampling)
            measures |= rates
        results[row] = Result(measures, curves)
    return results


def _images(
    tables: Tables, index: Index, pairs: Pairs | None, resampling: Resampling
) -> tuple[np.ndarray, np.ndarray, Drawn]:
    """Rows of distinct images, who is on each, and what is redrawn.

    Where no person is known, as in packs, genuine pairs tell which images show one person.
    """
    if "templates" in tables or np.any(np.asarray(index.label) != UNKNOWN_LABEL):
        images, people = image_subjects(tables, index)
    else:
        images = np.sort(np.unique(np.asarray(index.sha1, str), return_index=True)[1])
        left, right = (
            (pairs.left[pairs.same], pairs.right[pairs.same]) if pairs else (images, images)
        )
        people = linked_people(len(index), left, right)[images]
    return images, people, resampling.drawn(people, groups=resampling.grouped(people)[1])


def _separation(
    originals: np.ndarray,
    copies: np.ndarray,
    people: np.ndarray,
    drawn: Drawn,
    resampling: Resampling,
) -> Measure:
    """AUC of the confidence of originals over that of copies."""
    group, groups = resampling.grouped(people)
    samples = resampled_roc((originals, group), (copies, group, group), groups, resampling)
    both = np.concatenate([originals, copies])
    auc = Scores(both, np.arange(len(both)) < len(originals)).roc.auc()
    return measure(auc, samples.auc(), len(originals), drawn)


def _pairs(tables: Tables, index: Index) -> Pairs:
    """Raise InputError if pairs of one kind are left."""
    listed = tables["pairs"]
    left, right = (positions(index.record, listed[side]) for side in ("first", "second"))
    kept = (left >= 0) & (right >= 0)
    left, right, same = left[kept], right[kept], np.asarray(listed["same"], bool)[kept]
    if same.all() or not same.any():
        raise tables.error("pairs", f"{same.sum()} of {len(same)} pairs are genuine")
    person = linked_people(len(index), left[same], right[same])[left[same]]
    return Pairs(left, right, same, np.unique(person, return_inverse=True)[1])


def _discarding(
    scores: np.ndarray, lower: np.ndarray, pairs: Pairs, params: Params, resampling: Resampling
) -> tuple[dict[str, Measure], dict[str, np.ndarray]]:
    """FNMR and pAUC by ISO/IEC 29794-1, and the curve."""
    own, trust = scores[pairs.same], lower[pairs.same]
    falling = np.sort(scores[~pairs.same])[::-1]
    missed = own <= falling[int(params.fmr * len(falling) + ROUNDING)]
    order, starts = tie_groups(trust)
    person = pairs.person[order]
    drawn = resampling.drawn(person)
    share, fnmr = edc(missed[order], np.ones((1, len(own))), starts)
    samples = [
        edc(missed[order], weights[:, person], starts)
        for weights in np.array_split(
            resampling.weights(drawn.number), -(-resampling.replicates // REPLICATES_AT_A_TIME)
        )
    ]
    alarms, effective = params.fmr * len(falling), effective_count(own, pairs.person)
    note = f"threshold fixed at FMR {params.fmr:g} of {len(falling)} impostor pairs"
    measures = {}
    for x in sorted({0.0, params.discard}):
        kept = len(own) - starts[_last(share[0], x)]
        value = float(height(share, fnmr, x)[0])
        measures[f"fnmr@discard={x:g}"] = measure(
            value,
            np.concatenate([height(*one, x) for one in samples]),
            kept,
            drawn,
            note,
            errors=value * kept,
            effective=effective * kept / len(own),
            alarms=alarms,
        )
    measures[f"pauc@discard={params.discard:g}"] = measure(
        float(mean_height(share, fnmr, params.discard)[0]),
        np.concatenate([mean_height(*one, params.discard) for one in samples]),
        len(own),
        drawn,
        note,
        alarms=min(alarms, float(np.sum(missed))),
    )
    shown = np.unique(np.linspace(0, len(starts) - 1, MOST_POINTS).round().astype(int))
    return measures, {"discard": share[0, shown], "fnmr": fnmr[0, shown]}


def tie_groups(trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs from the least trusted on, and where each group of equally trusted ones begins."""
    order = np.argsort(trust, kind="stable")
    rising = trust[order]
    return order, np.flatnonzero(np.append(True, rising[1:] != rising[:-1]))


def edc(
    missed: np.ndarray, weights: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share discarded and FNMR of what remains, as groups of equal trust go one by one.

    Args:
        missed: bool [n], of genuine pairs from the least trusted on.
        weights: how often each pair counts, [curves, n].
        starts: of the groups, as `tie_groups` gives them.

    Returns:
        Two float [curves, groups]; FNMR is 0 where no weight remains.
    """
    last = np.cumsum(weights[:, ::-1], axis=1, dtype=np.float64)[:, ::-1][:, starts]
    wrong = np.cumsum((weights * missed)[:, ::-1], axis=1, dtype=np.float64)[:, ::-1][:, starts]
    total = last[:, :1]
    return 1 - last / total, wrong / np.where(last > 0, last, 1)


def _last(share: np.ndarray, x: float) -> int:
    """The last step at which no more than the share x is discarded."""
    return int(np.searchsorted(share, x + ROUNDING, side="right")) - 1


def height(share: np.ndarray, fnmr: np.ndarray, x: float) -> np.ndarray:
    """FNMR of each curve where at most the share x is discarded."""
    return np.array([line[_last(at, x)] for at, line in zip(share, fnmr, strict=True)])


def mean_height(share: np.ndarray, fnmr: np.ndarray, x: float) -> np.ndarray:
    """Area under the steps of each curve from 0 to x, over x."""
    edges = np.append(share, np.ones((len(share), 1)), axis=1).clip(max=x)
    return np.sum(np.diff(edges, axis=1) * fnmr, axis=1) / x


def _magface(
    scores: np.ndarray, lower: np.ndarray, pairs: Pairs, params: Params, resampling: Resampling
) -> tuple[dict[str, Measure], dict[str, np.ndarray]]:
    fnmr, kept, limit = rejection_curve(scores, pairs.same, lower)
    number = np.full(len(scores), -1)
    number[pairs.same] = pairs.person
    drawn = resampling.drawn(pairs.person)
    weights = resampling.weights(drawn.number)
    measures = {}
    for share in QUOTED:
        at = int(np.argmin(np.abs(REJECTED - share)))
        if not np.isfinite(fnmr[at]):
            continue
        own = kept[at][pairs.same[kept[at]]]
        missed = scores[own] <= limit[at]
        measures[f"fnmr@reject={share:g}"] = measure(
            fnmr[at],
            weighted_share(missed, number[own], weights),
            len(own),
            drawn,
            f"threshold fixed; FMR {MAGFACE_FMR:g} by tenths of the impostor pairs kept",
            errors=np.sum(missed),
            effective=effective_count(scores[own], number[own]),
        )
    known = np.isfinite(fnmr)
    return measures, {"discard": REJECTED[known], "fnmr": fnmr[known]}


def rejection_curve(
    scores: np.ndarray, same: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """MagFace's curve: FNMR after each share REJECTED of all pairs, least trusted first, is gone.

    Returns:
        FNMR, NaN where MagFace's threshold is not defined, [20]; the pairs that remain, a list; and
        the score that an accepted pair exceeds, [20].
    """
    order = np.argsort(confidence, kind="stable")
    fnmr, limit = np.full((2, len(REJECTED)), np.nan)
    kept = [order[int(share * len(order)) :] for share in REJECTED]
    for k, some in enumerate(kept):
        own, others = scores[some][same[some]], np.sort(scores[some][~same[some]])[::-1]
        last = len(others) - 1
        if len(own) and last // 100 > 0:  # last / 10 / 10 / 10, rounded down, unless 0 comes first
            limit[k] = others[last // 1000]
            fnmr[k] = np.mean(own <= limit[k])
    return fnmr, kept, limit
