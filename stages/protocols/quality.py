"""What a confidence is worth: the length of an embedding (MagFace), kappa (SCF).

Two questions. Does it tell an image from its copy of r pixels: AUC of originals over copies. And
do errors vanish when the pairs it trusts least are discarded: FNMR over the share discarded (EDC,
ISO/IEC 29794-1). A pair's confidence is the lower of its two.

`iso`: the threshold is fixed once, on all impostor pairs; genuine pairs are discarded below a
rising confidence, so that pairs of equal confidence go together. `magface` (MagFace, figure 6):
genuine and impostor pairs are discarded alike, in the order of the list where they are equal, and
the threshold is found anew for those that remain.

The pairs are those that the set lists (packs). Where it lists none but tells who is who, they are
all pairs of its images, for `iso` and up to MOST_IMAGES images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from stages.core.index import UNKNOWN_LABEL, Index
from stages.core.params import Section
from stages.protocols._bootstrap import (
    Drawn,
    Resampling,
    effective_count,
    paired_interval,
    resampled_roc,
    weighted_share,
)
from stages.protocols._edc import REJECTED, edc, heights, last_step, rejection_curve, tie_groups
from stages.protocols._result import Measure, Result, marked, measure, ordering
from stages.protocols._roc import MOST_POINTS, ROUNDING, Scores
from stages.protocols._rows import Read, Rows
from stages.protocols._subjects import image_subjects, linked_people
from stages.protocols._tables import Tables
from stages.protocols._vectors import by_blocks, positions, unit

MAGFACE_FMR = 1e-3
QUOTED = (0.0, 0.2)
Discarder = Callable[[np.ndarray], tuple[dict[str, Measure], dict[str, np.ndarray]]]
MOST_IMAGES = 20_000  # whose pairs are all compared
CELLS_AT_A_TIME = 1 << 22  # replicates x genuine pairs

NEEDS = ()  # of an image set: pairs or labels, and without any it tells copies from originals


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


class Trials(NamedTuple):
    """Genuine pairs, and the threshold they are held against.

    Attributes:
        left, right: rows of the aligned index, int64 [pairs].
        score: cosines, float32 [pairs]; those that exceed `limit` are accepted.
        person: number of the person of each pair, 0..n-1.
        limit: the score that a share `fmr` of the impostor pairs exceeds, at most.
        impostors: their number.
    """

    left: np.ndarray
    right: np.ndarray
    score: np.ndarray
    person: np.ndarray
    limit: float
    impostors: int


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """`auc@px=r` of each confidence (rows: norm, kappa, ..), and of pairs the curve `edc`.

    Embeddings from elsewhere have a row of their own lengths, which discard their own pairs.

    `fnmr@discard=x` is its height where the share x is discarded, `pauc@discard=x` its mean height
    from 0 to x, and `gain@discard=x` how far that mean lies below the height at 0, which discarding
    at random keeps in expectation.
    """
    full = rows.sizes[max(rows.sizes)]
    confidences = {"norm": (full, "norm")} | rows.heads
    pairs = _pairs(tables, index) if "pairs" in tables else None
    images, people, drawn = _images(tables, index, pairs, resampling)
    discard = _discarder(rows.read, full, pairs, (images, people), params, resampling)
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
        if discard is not None:
            rates, curves["edc"] = discard(confidence)
            measures |= rates
        results[row] = Result(measures, curves)
    for row, model in rows.external.items():
        discard = _discarder(rows.read, model, pairs, (images, people), params, resampling)
        if discard is not None:
            measures, curve = discard(rows.read(model, "norm"))
            results[row] = Result(measures, {"edc": curve})
    return results


def _discarder(
    read: Read,
    full: str,
    pairs: Pairs | None,
    known: tuple[np.ndarray, np.ndarray],
    params: Params,
    resampling: Resampling,
) -> Discarder | None:
    """What makes measures and curve of a confidence; None where there are no pairs.

    Args:
        read: of the features.
        full: the model of images at full size.
        pairs: that are listed, if any are.
        known: rows of distinct images, and their people.
        params: of the protocol.
        resampling: of the people.
    """
    images, people = known
    if pairs is not None:
        vectors = unit(read(full, "embedding"))
        scores = np.einsum("ij,ij->i", vectors[pairs.left], vectors[pairs.right])
        if params.curve == "magface":
            return partial(_magface, scores, pairs, resampling)
        trials = _listed(scores, pairs, params.fmr)
    elif params.curve == "iso" and _make_both_kinds(people) and len(images) <= MOST_IMAGES:
        trials = _all_pairs(unit(read(full, "embedding")[images]), images, people, params.fmr)
    else:
        return None
    return partial(_discarding, trials, params, resampling)


def _make_both_kinds(people: np.ndarray) -> bool:
    counts = np.unique(people, return_counts=True)[1]
    return len(counts) > 1 and counts.max() > 1


def _listed(scores: np.ndarray, pairs: Pairs, fmr: float) -> Trials:
    own, others = pairs.same, np.sort(scores[~pairs.same])[::-1]
    return Trials(
        pairs.left[own], pairs.right[own], scores[own], pairs.person,
        float(others[_accepted(fmr, len(others))]), len(others),
    )  # fmt: skip


def _all_pairs(vectors: np.ndarray, images: np.ndarray, people: np.ndarray, fmr: float) -> Trials:
    """Every pair of the images, of which only genuine and the highest impostor scores are kept.

    Args:
        vectors: unit rows, float32 [n, d].
        images: rows of the aligned index, [n].
        people: on them, [n].
        fmr: as in Params.
    """
    count, number = len(images), np.unique(people, return_inverse=True)[1]
    sizes = np.bincount(number)
    impostors = count * (count - 1) // 2 - int(np.sum(sizes * (sizes - 1) // 2))
    wanted = _accepted(fmr, impostors) + 1
    genuine: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    highest, place = np.empty(0, np.float32), np.arange(count)

    def visit(some: slice, block: np.ndarray) -> None:
        nonlocal highest
        below = place[some, None] < place
        same = number[some, None] == number
        left, right = np.nonzero(below & same)
        genuine.append((left + some.start, right, block[left, right]))
        highest = np.concatenate([highest, block[below & ~same]])
        if len(highest) > wanted:
            highest = np.partition(highest, len(highest) - wanted)[-wanted:]

    by_blocks(vectors, vectors, visit)
    left, right, score = (np.concatenate(part) for part in zip(*genuine, strict=True))
    person = np.unique(number[left], return_inverse=True)[1]
    return Trials(images[left], images[right], score, person, float(highest.min()), impostors)


def _accepted(fmr: float, impostors: int) -> int:
    """How many impostor pairs may be accepted."""
    return int(fmr * impostors + ROUNDING)


def _images(
    tables: Tables, index: Index, pairs: Pairs | None, resampling: Resampling
) -> tuple[np.ndarray, np.ndarray, Drawn]:
    """Rows of distinct images, who is on each, and what is redrawn.

    Where no person is known, as in packs, genuine pairs tell which images show one person.
    """
    if "templates" in tables or np.any(np.asarray(index.label) != UNKNOWN_LABEL):
        images, people = image_subjects(tables, index)
        if not len(images):
            problem = "no image is of a person whom galleries or probes name"
            raise tables.error("templates", problem, remedy="add the 1:N lists to the data set")
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
    roc = Scores(both, np.arange(len(both)) < len(originals)).roc
    known = drawn, len(np.unique(people)), roc.misordered()
    return ordering(roc.auc(), samples.auc(), len(originals), *known)


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
    trials: Trials, params: Params, resampling: Resampling, confidence: np.ndarray
) -> tuple[dict[str, Measure], dict[str, np.ndarray]]:
    """FNMR and pAUC by ISO/IEC 29794-1, and the curve."""
    own, x = trials.score, params.discard
    missed = own <= trials.limit
    order, starts = tie_groups(np.minimum(confidence[trials.left], confidence[trials.right]))
    person = trials.person[order]
    drawn = resampling.drawn(person)
    share, fnmr = edc(missed[order], np.ones((1, len(own))), starts)
    at_a_time = max(1, CELLS_AT_A_TIME // len(own))
    weights = resampling.weights(drawn.number)
    samples = [
        heights(*edc(missed[order], weights[k : k + at_a_time, person], starts), x)
        for k in range(0, len(weights), at_a_time)
    ]
    before, after, mean = np.concatenate(samples, axis=1)
    value_before, value_after, value_mean = heights(share, fnmr, x)[:, 0].tolist()
    alarms, effective = params.fmr * trials.impostors, effective_count(own, trials.person)
    note = f"threshold fixed at FMR {params.fmr:g} of {trials.impostors} impostor pairs"
    measures = {}
    for at, value, redrawn in ((0.0, value_before, before), (x, value_after, after)):
        kept = len(own) - starts[last_step(share[0], at)]
        measures[f"fnmr@discard={at:g}"] = measure(
            value,
            redrawn,
            kept,
            drawn,
            note,
            errors=value * kept,
            effective=effective * kept / len(own),
            alarms=alarms,
        )
    errors = min(alarms, float(np.sum(missed)))
    measures[f"pauc@discard={x:g}"] = measure(
        value_mean, mean, len(own), drawn, note, alarms=errors
    )
    gain, gains = value_before - value_mean, before - mean
    measures[f"gain@discard={x:g}"] = marked(
        gain,
        paired_interval(gain, gains, drawn.number, drawn.folds),
        len(own),
        f"{drawn.method}; {note}",
        gains,
        drawn,
        errors,
        lowest=-1.0,
    )
    shown = np.unique(np.linspace(0, len(starts) - 1, MOST_POINTS).round().astype(int))
    return measures, {"discard": share[0, shown], "fnmr": fnmr[0, shown]}


def _magface(
    scores: np.ndarray,
    pairs: Pairs,
    resampling: Resampling,
    confidence: np.ndarray,
) -> tuple[dict[str, Measure], dict[str, np.ndarray]]:
    lower = np.minimum(confidence[pairs.left], confidence[pairs.right])
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
            alarms=MAGFACE_FMR * np.sum(~pairs.same[kept[at]]),
        )
    known = np.isfinite(fnmr)
    return measures, {"discard": REJECTED[known], "fnmr": fnmr[known]}
