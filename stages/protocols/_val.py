"""VAL at a FAR over folds: the validation rate of FaceNet (Schroff et al., CVPR 2015, section 4).

VAL(d) is the share of genuine pairs closer than d, FAR(d) that of impostor pairs. On each fold VAL
is taken at the distance at which the FAR of the other folds is the one asked for. Mean and standard
deviation over folds are what the evaluations of facenet and InsightFace print as `val`.
"""

from __future__ import annotations

import numpy as np

from stages.protocols._bootstrap import Z95, Drawn, digest
from stages.protocols._result import Measure, marked, measure, rate_name
from stages.protocols._roc import ROUNDING

GRID = np.arange(0, 4, 0.001)  # of facenet and InsightFace, on squared distances
WIDEST = 0.5  # standard deviation of shares, at most


def folds_val(
    distance: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    far: float,
    grid: np.ndarray | None = GRID,
) -> tuple[np.ndarray, np.ndarray]:
    """VAL on each fold, and the threshold below which a pair is accepted, float64 [folds] each.

    Args:
        distance: float [1, pairs], or [folds, pairs] where it depends on the test fold.
        same: bool [pairs]; the other folds of each must have impostor pairs.
        fold: of each pair, 0..folds-1.
        far: FAR on the other folds.
        grid: rising thresholds between whose FARs straight lines are drawn, as facenet does; the
            threshold is 0 where even the last has a lower FAR. None: the highest threshold at
            which the FAR does not exceed `far`.
    """
    folds = int(fold.max()) + 1
    val, threshold = np.empty(folds), np.empty(folds)
    for test in range(folds):
        own = distance[test if len(distance) > 1 else 0]
        impostors = np.sort(own[~same & (fold != test)])
        at = _exact if grid is None else _interpolated
        threshold[test] = at(impostors, far, grid)
        val[test] = np.mean(own[same & (fold == test)] < threshold[test])
    return val, threshold


def _interpolated(impostors: np.ndarray, far: float, grid: np.ndarray) -> float:
    reached = np.searchsorted(impostors, grid, side="left") / len(impostors)
    # Of equal FARs np.interp takes the last, so that the line starts where the next step begins.
    return float(np.interp(far, reached, grid)) if reached[-1] >= far else 0.0


def _exact(impostors: np.ndarray, far: float, _: None) -> float:
    allowed = int(far * len(impostors) + ROUNDING)
    return float(impostors[allowed]) if allowed < len(impostors) else np.inf


def val_measures(
    distance: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    far: float,
    at_far: Measure,
    effective: float,
    exact: bool,
    name: str = "val",
) -> dict[str, Measure]:
    """`<name>@far=` and `<name>_std@far=`, its population standard deviation over folds.

    Thresholds of different folds rest on nearly the same impostor pairs, so that the folds tell
    nothing of the error that comes from these. The interval of VAL therefore has the width that
    resampling gives the TAR at the same FAR over all pairs. That of the standard deviation takes
    the folds as independent and normal, or is as wide as the interval of VAL allows.

    Args:
        distance, same, fold, far: as `folds_val` takes them.
        at_far: the TAR over all pairs at this FAR, or at that of one impostor pair if this is less.
        effective: independent pairs that the genuine pairs are worth.
        exact: exact thresholds instead of the grid's.
    """
    val, _ = folds_val(distance, same, fold, far, None if exact else GRID)
    genuine = np.bincount(fold[same])
    missed, count = float(np.sum((1 - val) * genuine)), int(np.sum(genuine))
    how = "exact" if exact else "interpolated on a grid of 0.001"
    note = f"mean of {len(val)} folds, threshold from the others, {how}"
    alarms = far * np.count_nonzero(~same)
    if alarms < 1:
        note += f"; FAR {far:g} is less than one impostor pair"
    value = measure(float(np.mean(val)), at_far.samples, count, at_far.drawn, note, missed,
                    effective, alarms)  # fmt: skip
    method = f"standard deviation over {len(val)} folds; chi-squared of the folds"
    even = float(np.clip(0.5, value.low, value.high))
    ends = _deviation_interval(float(np.std(val)), len(val), even, count / len(val))
    # No samples: those of a standard deviation over folds are not its values in the folds.
    drawn = Drawn(len(val), method, digest(fold), folds=True)
    errors = min(missed, alarms)
    spread = marked(float(np.std(val)), ends, count, method, np.empty(0), drawn, errors)
    return {rate_name(f"{name}@far=", far): value, rate_name(f"{name}_std@far=", far): spread}


def _deviation_interval(
    deviation: float, folds: int, even: float, genuine: float
) -> tuple[float, float]:
    """95 % interval of a standard deviation over folds; chi-squared by Wilson and Hilferty (1931).

    Its upper end is at least that of `genuine` independent pairs a fold at VAL `even`, that of its
    interval nearest to a half: folds that are all alike do not prove that others would be.
    """
    freedom = folds - 1
    spread = 2 / (9 * freedom)
    ends = [
        deviation / max((1 - spread + sign * Z95 * np.sqrt(spread)), ROUNDING) ** 1.5
        for sign in (1, -1)
    ]
    binomial = np.sqrt(even * (1 - even) / genuine)
    return ends[0], min(max(ends[1], binomial), WIDEST)
