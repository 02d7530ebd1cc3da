"""95 % intervals: of a proportion, of ten folds, and by resampling subjects.

Scores of pairs are not independent: all pairs of one person stand and fall together. So people are
resampled, not pairs (subsets bootstrap, Bolle, Ratha and Pankanti, CVIU 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution
T95_BY_FREEDOM = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
MOST_CLUSTERS = 128  # more people are put into this many random groups, which are resampled
MOST_CELLS = 16_000_000  # of the table of counts by pair of groups and threshold
MOST_THRESHOLDS = 2_000
BLOCK = 1 << 22  # pairs counted at a time
CELLS_A_BATCH = 1 << 24  # of the matrix of pair weights


@dataclass(frozen=True)
class Resampling:
    """How often subjects are redrawn, and from which seed."""

    replicates: int = 1000
    seed: int = 0

    def weights(self, clusters: int) -> np.ndarray:
        """How often each cluster is drawn in each replicate: float32 [replicates, clusters]."""
        random = np.random.default_rng(self.seed)
        shares = np.full(clusters, 1 / clusters)
        return random.multinomial(clusters, shares, self.replicates).astype(np.float32)

    def grouped(self, cluster: np.ndarray) -> tuple[np.ndarray, int]:
        """`cluster` as numbers 0..n-1, in random groups if there are more than MOST_CLUSTERS."""
        names, number = np.unique(cluster, return_inverse=True)
        if len(names) <= MOST_CLUSTERS:
            return number, len(names)
        order = np.random.default_rng(self.seed).permutation(len(names))
        return order[number] % MOST_CLUSTERS, MOST_CLUSTERS

    def pairs(
        self, person: np.ndarray, left: np.ndarray, right: np.ndarray, same: np.ndarray
    ) -> PairGroups:
        """Groups of the people of pairs of items `left` and `right` whose `person` is known."""
        group, groups = self.grouped(person)
        group = group.astype(np.int16)
        first, second = group[left], group[right]
        people = len(np.unique(person))
        method = self.method(people, groups=groups)
        return PairGroups(first[same], first[~same], second[~same], groups, method)

    def method(self, clusters: int, what: str = "subjects", groups: int | None = None) -> str:
        """The interval in words: what is redrawn, and in how many groups if not one by one."""
        grouped = f" in {groups} groups" if groups not in (None, clusters) else ""
        return f"bootstrap over {clusters} {what}{grouped}, {self.replicates} replicates"


@dataclass(frozen=True)
class PairGroups:
    """People, or groups of them, of the sides of pairs.

    Attributes:
        genuine: group of each genuine pair, int16.
        first, second: groups of the sides of each impostor pair, int16.
        groups: their number.
        method: of the interval, in words.
    """

    genuine: np.ndarray
    first: np.ndarray
    second: np.ndarray
    groups: int
    method: str


def percentiles(samples: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 % of the finite `samples`."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return np.nan, np.nan
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 1927)."""
    share, z2 = successes / trials, Z95 * Z95
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials * trials)
    half = Z95 * np.sqrt(spread) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def student(values: np.ndarray) -> tuple[float, float]:
    """Student's t interval of the mean of a few fractions, such as the accuracies of folds."""
    freedom = len(values) - 1
    if freedom < 1:
        return 0.0, 1.0
    t = T95_BY_FREEDOM[freedom - 1] if freedom <= len(T95_BY_FREEDOM) else Z95
    half = t * np.std(values, ddof=1) / np.sqrt(len(values))
    return max(0.0, np.mean(values) - half), min(1.0, np.mean(values) + half)


@dataclass(frozen=True)
class ResampledRoc:
    """One ROC curve a replicate, at common thresholds from high to low.

    Attributes:
        fmr, tmr: float32 [replicates, thresholds + 2], from 0 to 1.
    """

    fmr: np.ndarray
    tmr: np.ndarray

    def auc(self) -> np.ndarray:
        steps = np.diff(self.fmr.astype(np.float64), axis=1)
        return np.sum(steps * (self.tmr[:, 1:] + self.tmr[:, :-1]), axis=1) / 2

    def tar(self, far: float) -> np.ndarray:
        """TAR of each replicate where its FAR reaches `far`."""
        return self._at(self.fmr - np.float32(far), self.tmr)

    def eer(self) -> np.ndarray:
        """FAR of each replicate where it equals the share of genuine pairs refused."""
        return self._at(self.fmr + self.tmr - np.float32(1), self.fmr)

    @staticmethod
    def _at(rising: np.ndarray, values: np.ndarray) -> np.ndarray:
        """`values` where `rising`, which grows along axis 1, crosses 0 (linear in between)."""
        tiny = np.float32(1e-7)
        last = np.clip((rising <= tiny).sum(axis=1) - 1, 0, rising.shape[1] - 2)
        rows = np.arange(len(rising))
        below, above = rising[rows, last], rising[rows, last + 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(above > below, -below / (above - below), 0).clip(0, 1)
        return values[rows, last] + share * (values[rows, last + 1] - values[rows, last])


def resampled_roc(
    genuine: tuple[np.ndarray, np.ndarray],
    impostor: tuple[np.ndarray, np.ndarray, np.ndarray],
    clusters: int,
    resampling: Resampling,
) -> ResampledRoc:
    """ROC curves with the clusters (people, or groups of them) redrawn.

    A genuine pair of a person drawn w times counts w times, an impostor pair of people drawn v and
    w times v * w times (copies of one person make no impostor pairs); within one group, w times.

    Args:
        genuine: scores and cluster of each pair.
        impostor: scores, cluster of the first and of the second side of each pair.
        clusters: their number.
        resampling: replicates and seed.
    """
    tables = clusters * (clusters + 1) // 2
    thresholds = _thresholds(genuine[0], min(MOST_THRESHOLDS, MOST_CELLS // tables))
    bins = len(thresholds) + 1
    true = _counts(genuine[0], thresholds, genuine[1], clusters)

    first, second = np.triu_indices(clusters)
    pair_number = np.zeros((clusters, clusters), np.int32)
    pair_number[first, second] = pair_number[second, first] = np.arange(tables, dtype=np.int32)
    false = np.zeros((tables, bins), np.float32)
    for start in range(0, len(impostor[0]), BLOCK):
        some = slice(start, start + BLOCK)
        number = pair_number[impostor[1][some], impostor[2][some]]
        false += _counts(impostor[0][some], thresholds, number, tables)

    weights = resampling.weights(clusters)
    fmr = np.empty((len(weights), bins + 1), np.float32)
    batch = max(1, CELLS_A_BATCH // tables)
    for start in range(0, len(weights), batch):
        some = weights[start : start + batch]
        pairs = np.where(first == second, some[:, first], some[:, first] * some[:, second])
        fmr[start : start + batch] = _shares_from_top(pairs @ false)
    return ResampledRoc(fmr, _shares_from_top(weights @ true))


def _thresholds(scores: np.ndarray, most: int) -> np.ndarray:
    """Rising thresholds at and just above the distinct `scores`, thinned to `most`.

    With both, the curve has a corner below and above every genuine score, and is exact.
    """
    values = np.unique(scores)
    kept = max(1, most // 2)
    if len(values) > kept:
        # half of them close together among the low scores, where the misses are
        rank = np.concatenate(
            [np.geomspace(1, len(values), kept - kept // 2), np.linspace(1, len(values), kept // 2)]
        )
        values = values[np.unique(rank.round().astype(int)) - 1]
    return np.unique(np.concatenate([values, np.nextafter(values, np.inf, dtype=values.dtype)]))


def _counts(
    scores: np.ndarray, thresholds: np.ndarray, group: np.ndarray, groups: int
) -> np.ndarray:
    """How many scores of each group lie between thresholds: float32 [groups, thresholds + 1]."""
    bins = len(thresholds) + 1
    place = np.searchsorted(thresholds, scores, side="right")
    cells = np.bincount(group.astype(np.int64) * bins + place, minlength=groups * bins)
    return cells.reshape(groups, bins).astype(np.float32)


def _shares_from_top(counts: np.ndarray) -> np.ndarray:
    """Share of each row accepted as the threshold falls: [rows, bins] -> [rows, bins + 1]."""
    accepted = np.cumsum(counts[:, ::-1], axis=1, dtype=np.float64)
    total = np.maximum(accepted[:, -1:], 1)
    shares = np.zeros((len(counts), counts.shape[1] + 1), np.float32)
    shares[:, 1:] = accepted / total
    return shares
