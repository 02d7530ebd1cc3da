"""Receiver operating characteristic by exact counts.

A pair is accepted when its score is at least the threshold. FAR (false accept rate, ISO: FMR) is
the share of impostor pairs accepted, TAR (true accept rate, 1 - FNMR) that of genuine pairs. The
curve changes its height at genuine scores only, so its corners there are the whole curve: millions
of impostors need no order, they are counted at each genuine score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.protocols._counting import counts_below

HISTOGRAM_BINS = 50  # of cosines, -1 to 1
MOST_POINTS = 500  # of a curve to draw
ROUNDING = 1e-9  # 0.1 * 30 is 3, whatever floating point says


@dataclass(frozen=True)
class Roc:
    """Corners of the curve from (0, 0) on, as counts.

    Attributes:
        false, true: impostor and genuine pairs accepted, int64 [k], both rising.
        impostors, genuine: all pairs of each kind.
    """

    false: np.ndarray
    true: np.ndarray
    impostors: int
    genuine: int

    @cached_property
    def fmr(self) -> np.ndarray:
        return self.false / self.impostors

    @cached_property
    def tmr(self) -> np.ndarray:
        return self.true / self.genuine

    def auc(self) -> float:
        """Area under the curve by trapezoids: P(genuine > impostor) + P(equal) / 2."""
        twice = np.sum(np.diff(self.false) * (self.true[1:] + self.true[:-1]))
        return float(twice) / (2.0 * self.impostors * self.genuine)

    def misordered(self) -> float:
        """Pairs of a genuine score and a higher impostor score; equal ones count half."""
        refused = 2 * self.genuine - self.true[1:] - self.true[:-1]
        return float(np.sum(np.diff(self.false) * refused)) / 2.0

    def eer(self) -> float:
        """FAR where it equals 1 - TAR, on straight lines between the corners."""
        difference = self.fmr + self.tmr - 1
        after = int(np.searchsorted(difference, 0))
        if difference[after] == 0:
            return float(self.fmr[after])
        share = -difference[after - 1] / (difference[after] - difference[after - 1])
        step = self.fmr[after] - self.fmr[after - 1]
        return float(self.fmr[after - 1] + share * step)

    def corner(self, far: float) -> int:
        """The corner of the largest TAR whose FAR does not exceed `far`."""
        allowed = int(far * self.impostors + ROUNDING)
        return int(np.searchsorted(self.false, allowed, side="right")) - 1

    def tar(self, far: float) -> float:
        """Largest TAR whose FAR does not exceed `far`."""
        return float(self.tmr[self.corner(far)])


class Scores:
    """The scores of genuine and impostor pairs of one row."""

    def __init__(self, scores: np.ndarray, same: np.ndarray) -> None:
        """Raise ValueError without pairs of both kinds, or if a score is not a number.

        Args:
            scores: float [pairs].
            same: bool [pairs], whether both sides are of one person.
        """
        self.scores = scores
        self.same = np.asarray(same, bool)
        self.genuine = np.sort(scores[self.same])
        self.impostors = len(scores) - len(self.genuine)
        if not len(self.genuine) or not self.impostors:
            raise ValueError(f"{len(self.genuine)} genuine and {self.impostors} impostor pairs")
        if np.isnan(scores.min()):
            raise ValueError("a score is not a number")

    @cached_property
    def roc(self) -> Roc:
        """The curve's corners just above and at every distinct genuine score, and its two ends."""
        genuine = self.genuine
        values = genuine[np.append(True, genuine[1:] != genuine[:-1])]
        own = np.stack(
            [np.searchsorted(genuine, values, "right"), np.searchsorted(genuine, values, "left")]
        )
        less, at_most = counts_below(self.scores, values)
        false = self.impostors - (np.stack([at_most, less]) - own)
        true = len(genuine) - own
        return Roc(
            np.concatenate([[0], false[:, ::-1].T.reshape(-1), [self.impostors]]),
            np.concatenate([[0], true[:, ::-1].T.reshape(-1), [len(genuine)]]),
            self.impostors,
            len(genuine),
        )

    def tar_nearest(self, far: float) -> float:
        """TAR at the curve's point whose FAR is nearest to `far`, which may exceed it.

        As the reference evaluations of IJB do: of scikit-learn's curve without its collinear
        points, the first nearest point counted from high FAR.
        """
        fmr, tmr = self.bends
        nearest = int(np.argmin(np.abs(fmr[::-1] - far)))
        return float(tmr[::-1][nearest])

    @cached_property
    def bends(self) -> tuple[np.ndarray, np.ndarray]:
        """FAR and TAR at every distinct score, without the points on a straight line."""
        impostor = np.sort(self.scores[~self.same])
        values = np.unique(self.scores)[::-1]
        false = len(impostor) - np.searchsorted(impostor, values, side="left")
        true = len(self.genuine) - np.searchsorted(self.genuine, values, side="left")
        if len(values) > 2:
            turns = np.logical_or(np.diff(false, 2), np.diff(true, 2))
            kept = np.concatenate([[True], turns, [True]])
            false, true = false[kept], true[kept]
        return np.append(0, false) / len(impostor), np.append(0, true) / len(self.genuine)

    def histogram(self) -> dict[str, np.ndarray]:
        """Columns score (centre of a bin of cosines), kind and count."""
        place = ((self.scores + 1) * (HISTOGRAM_BINS / 2)).astype(np.int64)
        place = place.clip(0, HISTOGRAM_BINS - 1)
        both = np.bincount(place, minlength=HISTOGRAM_BINS)
        genuine = np.bincount(place[self.same], minlength=HISTOGRAM_BINS)
        centres = (np.arange(HISTOGRAM_BINS) + 0.5) * 2 / HISTOGRAM_BINS - 1
        return {
            "score": np.tile(centres, 2),
            "kind": np.repeat(["genuine", "impostor"], HISTOGRAM_BINS),
            "count": np.concatenate([genuine, both - genuine]),
        }


def thinned(x: np.ndarray, y: np.ndarray, kept: list[int], most: int = MOST_POINTS) -> np.ndarray:
    """Which points of a rising curve to draw: at most `most`, `kept` and its ends among them.

    Half of the others are spread evenly over log(x), for DET plots, half over y. Points are left
    out, never moved; of equal points the first stays.
    """
    new = np.append(True, (np.diff(x) > 0) | (np.diff(y) > 0))
    if np.sum(new) <= most:
        return np.flatnonzero(new)
    first = np.maximum.accumulate(np.where(new, np.arange(len(x)), 0))
    chosen = {0, int(first[-1]), *first[kept].tolist()}
    room = (most - len(chosen)) // 2
    lowest = max(x[x > 0].min(initial=1), 1e-12)
    by_x = np.searchsorted(x, np.geomspace(lowest, x[-1], room))
    by_y = np.searchsorted(y, np.linspace(y[0], y[-1], room))
    return np.array(sorted(chosen | set(first[by_x].tolist()) | set(first[by_y].tolist())))
