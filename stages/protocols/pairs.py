"""Ten-fold accuracy of a verification pack: LFW (Huang et al., 2007), CFP, AgeDB, CALFW, CPLFW.

The threshold of each fold is the first that is best on the other nine. The defaults are those of
ArcFace, BTNet, AdaFace and MultiFace; MagFace's figures need `flip: false, distance: angle,
centre: true`. Beside it: AUC, EER and TAR over all pairs, and VAL over folds (`_val.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from stages.core.index import Index
from stages.core.params import Rate, Section
from stages.protocols._bootstrap import (
    Drawn,
    Resampling,
    count_of_folds,
    digest,
    effective_count,
    student,
    wilson,
)
from stages.protocols._faces import Items
from stages.protocols._result import FEW_ERRORS, Measure, Result, marked, rate_name
from stages.protocols._rows import Rows
from stages.protocols._subjects import linked_people
from stages.protocols._tables import Tables
from stages.protocols._val import val_measures
from stages.protocols._vectors import positions
from stages.protocols._verification import verification

THRESHOLDS = np.arange(0, 4, 0.01)
HARDEST = 10  # one in ten: enough pairs to tell whether people share them, near the errors
PAIRS_A_BLOCK = 128  # temporaries that stay in the processor's cache

NEEDS = ("pairs",)  # of an image set: this list


class Params(Section):
    """
    flip: compare the sums over the image and its mirror image.
    distance: euclidean = squared distance of the unit vectors; angle = angle / pi.
    centre: first subtract the mean of the raw vectors of the other folds.
    folds: contiguous parts of the list, in its order.
    far: false accept rates at which the true accept rate over all pairs is given.
    pick: at_most = largest TAR whose FAR does not exceed the target; nearest = TAR at the nearest
        FAR, which may exceed it.
    val: false accept rates on the other folds at which VAL is given.
    val_threshold: grid = interpolated between thresholds 0.001 apart, as facenet and InsightFace
        do; exact = the highest at which the FAR does not exceed the target (`val_exact@far=`).
    """

    flip: bool = True
    distance: Literal["euclidean", "angle"] = "euclidean"
    centre: bool = False
    folds: Annotated[int, Field(ge=2)] = 10
    far: list[Rate] = [1e-1, 1e-2, 1e-3, 1e-4]
    pick: Literal["at_most", "nearest"] = "at_most"
    val: list[Rate] = [1e-3]
    val_threshold: Literal["grid", "exact"] = "grid"


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """By row: accuracy, AUC, EER, `tar@far=`, `val@far=` and `val_std@far=`.

    Accuracy is the mean over the folds of the share of pairs told right. A TAR is left out where
    its FAR is less than one impostor pair. Pairs of which an image could not be aligned are left
    out and counted in the accuracy's `method`; the others stay in their fold. Rows of likelihood
    scores try every score of the list as a threshold, also for VAL. Raise InputError if a fold is
    left empty or with pairs of one kind.
    """
    pairs = tables["pairs"]
    left, right = (positions(index.record, pairs[side]) for side in ("first", "second"))
    kept = (left >= 0) & (right >= 0)
    same, fold = np.asarray(pairs["same"], bool)[kept], folds_of(len(kept), params.folds)[kept]
    if len(np.unique(fold)) < params.folds:
        problem = f"{kept.sum()} of {len(kept)} pairs have both images, too few for the folds"
        raise tables.error("pairs", problem, remedy="align more of the images, or lower `folds`")
    for number in range(params.folds):
        if len(np.unique(same[fold == number])) < 2:
            problem = f"fold {number + 1} of {params.folds} has pairs of one kind alone"
            remedy = "set `folds` to the number of sets in the list, each of both kinds"
            raise tables.error("pairs", problem, remedy=remedy)
    lost = f"; {np.sum(~kept)} of {len(kept)} pairs left out" if not kept.all() else ""
    items = Items(left[kept], right[kept], np.arange(len(index)))
    linked = linked_people(len(index), items.left[same], items.right[same])
    people = resampling.pairs(linked, items.left, items.right, same)
    method = people.drawn.method.replace("subjects", "people that genuine pairs link")
    people = replace(people, drawn=replace(people.drawn, method=method))
    sides = linked[items.left], linked[items.right]

    def scored(scores: np.ndarray, distance: np.ndarray, *thresholds: np.ndarray) -> Result:
        """From scores and distances; `thresholds` are those to try, where no grid of them can."""
        accuracy, _ = folds_accuracy(distance, same, fold, *thresholds)
        effective = effective_pairs(distance, same, fold, *sides)
        lowest = np.nextafter(1 / np.sum(~same), 1)  # FAR of one impostor pair
        known = {far: max(far, lowest) for far in params.val}
        rates = list(dict.fromkeys([*params.far, *known.values()]))
        over_all = verification(scores, same, people, rates, params.pick, resampling, items)
        unasked = {rate_name("tar@far=", far) for far in set(rates) - set(params.far)}
        measures = {"accuracy": _accuracy(accuracy, fold, effective, lost)}
        measures |= {k: m for k, m in over_all.measures.items() if k not in unasked}
        genuine = effective_count(scores[same], people.person)
        name = {"grid": "val", "exact": "val_exact"}[params.val_threshold]
        exact = bool(thresholds) or params.val_threshold == "exact"
        for far, nearest in known.items():
            at_far = over_all.measures[rate_name("tar@far=", nearest)]
            measures |= val_measures(distance, same, fold, far, at_far, genuine, exact, name)
        return Result(measures, over_all.curves)

    results = {}
    for row, first, second in rows.images(params.flip):
        first, second = first[items.left], second[items.right]
        distance = distances(first, second, fold, params)
        results[row] = scored(_cosines(first, second, distance, fold, params), distance)
    for row, score in rows.image_scores(params.flip):
        scores = score(items.left, items.right)
        far = -scores.astype(np.float64)[None]
        results[row] = scored(scores, far, np.append(np.unique(far), np.inf))
        results[row].curves.pop("scores", None)  # no cosines
    return results


def folds_of(pairs: int, folds: int) -> np.ndarray:
    """Fold of each pair: contiguous, unshuffled, the first ones larger by one if need be."""
    return np.repeat(np.arange(folds), [len(x) for x in np.array_split(np.arange(pairs), folds)])


def distances(
    first: np.ndarray, second: np.ndarray, fold: np.ndarray, params: Params
) -> np.ndarray:
    """Distance of each pair, float64 [1, pairs]; with `centre` [folds, pairs], one a test fold."""
    measured = squared_distance if params.distance == "euclidean" else angle
    if not params.centre:
        return measured(first, second)[None]
    total = first.sum(axis=0, dtype=np.float64) + second.sum(axis=0, dtype=np.float64)
    result = []
    for test in range(fold.max() + 1):
        inside = fold == test
        own = first[inside].sum(axis=0, dtype=np.float64)
        own += second[inside].sum(axis=0, dtype=np.float64)
        mean = (total - own) / (2 * np.sum(~inside))
        result.append(measured(first - mean, second - mean))
    return np.array(result)


def squared_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """|x/|x| - y/|y||^2 = 2 - 2 cos of each pair, float64 [pairs]."""
    return np.maximum(2 - 2 * cosine(first, second), 0)


def angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between the vectors of each pair as a share of pi, float64 [pairs]."""
    return np.arccos(cosine(first, second).clip(-1, 1)) / np.pi


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each pair in double precision, float64 [pairs]; 0 with a zero vector."""
    result = np.empty(len(first))
    for start in range(0, len(first), PAIRS_A_BLOCK):
        some = slice(start, start + PAIRS_A_BLOCK)
        x, y = first[some].astype(np.float64), second[some].astype(np.float64)
        xx, yy, xy = (np.einsum("ij,ij->i", a, b) for a, b in ((x, x), (y, y), (x, y)))
        lengths = np.sqrt(xx * yy)
        result[some] = xy / np.where(lengths > 0, lengths, 1)
    return result


def folds_accuracy(
    distance: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy on each fold at the first best threshold of the others, and that threshold.

    A pair is told the same if its distance is below the threshold. Each pair is put once between
    two thresholds; running sums then give the pairs told right at all of them.

    Args:
        distance: float [1, pairs], or [folds, pairs] where it depends on the test fold.
        same: bool [pairs].
        fold: of each pair, 0..folds-1.
        thresholds: to try, rising.
    """
    folds, bins = int(fold.max()) + 1, len(thresholds) + 1
    told_right = []
    for one in distance:
        place = np.searchsorted(thresholds, one, side="right")  # same at thresholds from here on
        cell = fold * bins + place
        counts = [
            np.bincount(cell[kind], minlength=folds * bins).reshape(folds, bins).cumsum(axis=1)
            for kind in (same, ~same)
        ]
        told_right.append((counts[0] - counts[1] + counts[1][:, -1:])[:, :-1])
    size = np.bincount(fold, minlength=folds)
    accuracy, threshold = np.empty(folds), np.empty(folds)
    for test in range(folds):
        right = told_right[test if len(distance) > 1 else 0]
        best = int(np.argmax(right.sum(axis=0) - right[test]))
        accuracy[test], threshold[test] = right[test, best] / size[test], thresholds[best]
    return accuracy, threshold


def effective_pairs(
    distance: np.ndarray, same: np.ndarray, fold: np.ndarray, left: np.ndarray, right: np.ndarray
) -> float:
    """How many independent pairs these are worth: 1 / sum of share^2 / n over both kinds of pairs.

    n is the `effective_count` of whether a pair is among the hardest tenth of its kind, by the
    people of the side where it is smaller. Errors are too few to tell their own correlation, and
    less correlated than distances are.

    Args:
        distance, same, fold: as `folds_accuracy` takes them.
        left, right: person of each side of each pair.
    """
    own = distance[fold if len(distance) > 1 else 0, np.arange(len(fold))]
    variance = 0.0
    for kind, ease in ((same, -own[same]), (~same, own[~same])):
        if len(ease):
            last = max(len(ease) // HARDEST, 1) - 1
            hard = ease <= np.partition(ease, last)[last]
            effective = min(effective_count(hard, side[kind]) for side in (left, right))
            variance += (len(ease) / len(same)) ** 2 / effective
    return 1 / variance


def _accuracy(accuracy: np.ndarray, fold: np.ndarray, effective: float, lost: str) -> Measure:
    """Mean over the folds, which share no person: they are the units of its interval.

    The wider of two intervals: pairs are not independent. With fewer than ten errors a fold the
    folds' accuracies are skewed, and all may be perfect: then Wilson's interval with the number of
    independent pairs that tell as much (Korn and Graubard, Survey Methodology 1998), which is that
    of the folds' spread or, if smaller, `effective`, see `effective_pairs`.
    """
    value, right = np.mean(accuracy), np.sum(accuracy * np.bincount(fold))
    errors = len(fold) - right
    by_pair, by_fold = wilson(right, len(fold)), student(accuracy)
    wider = by_pair[1] - by_pair[0] > by_fold[1] - by_fold[0]
    interval = by_pair if wider else by_fold
    method = "the wider of Wilson and Student's t over folds: " + ("Wilson" if wider else "Student")
    if errors < FEW_ERRORS * len(accuracy):
        effective = min(effective, count_of_folds(accuracy))
        interval = wilson(value * effective, effective)
        method = "Wilson with the effective count of pairs"
    method = f"accuracy of {len(accuracy)} folds; {method}{lost}"
    drawn = Drawn(len(accuracy), method, digest(fold), folds=True)
    return marked(value, interval, len(fold), method, accuracy, drawn, errors)


def _cosines(
    first: np.ndarray, second: np.ndarray, distance: np.ndarray, fold: np.ndarray, params: Params
) -> np.ndarray:
    """Cosine of each pair, float32 [pairs]; with `centre`, as its distance is when it is tested."""
    if not params.centre:
        return cosine(first, second).astype(np.float32)
    own = distance[fold, np.arange(len(fold))]
    own = 1 - own / 2 if params.distance == "euclidean" else np.cos(np.pi * own)
    return own.astype(np.float32)
