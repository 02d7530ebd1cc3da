"""Do 95 % intervals hold the truth in 95 % of benchmarks? Simulated ones, whose truth is known.

Scores are sums of normal effects of people, images and pairs, so that pairs of one person depend on
each other. `python -m tests.protocols.test_coverage` runs 1,000 benchmarks and prints the shares.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from stages.protocols import pairs
from stages.protocols._bootstrap import Resampling, effective_count, weighted_share, wilson
from stages.protocols._result import measure
from stages.protocols._verification import verification

PEOPLE, IMAGES = 60, 4
GENUINE, EASE, SPREAD, IMAGE, PAIR = 1.5, 0.6, 0.2, 0.3, 0.5  # mean, and standard deviations
THRESHOLD, RARE = 0.5, -0.9  # FNMR 13 %, and 0.5 %: about two errors in a benchmark
FAR = 0.01
NORMAL = NormalDist()
OWN, OTHERS = (
    np.hypot(EASE, np.hypot(np.sqrt(2) * IMAGE, PAIR)),
    np.sqrt(2 * SPREAD**2 + 2 * IMAGE**2 + PAIR**2),
)  # standard deviations of genuine and of impostor scores
TRUTH = {
    "auc": NORMAL.cdf(GENUINE / np.hypot(OWN, OTHERS)),
    "fnmr": NORMAL.cdf((THRESHOLD - GENUINE) / OWN),
    "rare": NORMAL.cdf((RARE - GENUINE) / OWN),
    "by pairs": NORMAL.cdf((THRESHOLD - GENUINE) / OWN),
    "tar": 1 - NORMAL.cdf((OTHERS * NORMAL.inv_cdf(1 - FAR) - GENUINE) / OWN),
    "accuracy": max(
        (1 - NORMAL.cdf((t - GENUINE) / OWN) + NORMAL.cdf(t / OTHERS)) / 2
        for t in np.linspace(0, GENUINE, 300)
    ),
}
PERSON = np.repeat(np.arange(PEOPLE), IMAGES)
FIRST, SECOND = np.triu_indices(len(PERSON), 1)
SAME = PERSON[FIRST] == PERSON[SECOND]


def intervals(seed: int, resampling: Resampling) -> dict[str, tuple[float, float]]:
    """Of one benchmark: 60 people of four images, all pairs; ten folds of six people each."""
    random = np.random.default_rng([1, seed])
    ease, spread, image = (
        deviation * random.normal(size=count)
        for deviation, count in ((EASE, PEOPLE), (SPREAD, PEOPLE), (IMAGE, len(PERSON)))
    )
    scores = image[FIRST] + image[SECOND] + PAIR * random.normal(size=len(SAME))
    left, right = PERSON[FIRST], PERSON[SECOND]
    scores += np.where(SAME, GENUINE + ease[left], spread[left] + spread[right])
    scores = scores.astype(np.float32)
    people = resampling.pairs(PERSON, FIRST, SECOND, SAME)
    found = verification(scores, SAME, people, [FAR], "at_most", resampling).measures
    own, weights = scores[SAME], resampling.weights(PEOPLE)

    def share(missed: np.ndarray):
        return measure(np.mean(missed), weighted_share(missed, left[SAME], weights), len(missed),
                       people.drawn, errors=np.sum(missed),
                       effective=effective_count(own, left[SAME]))  # fmt: skip

    found |= {"fnmr": share(own < THRESHOLD), "rare": share(own < RARE)}
    found["tar"] = found.pop("tar@far=1e-2")
    found["accuracy"] = ten_folds(scores, left, right, random)
    both = {name: (one.low, one.high) for name, one in found.items()}
    return both | {"by pairs": wilson(np.sum(own < THRESHOLD), len(own))}


def ten_folds(scores: np.ndarray, left: np.ndarray, right: np.ndarray, random):
    """As a pack: in each fold as many impostor pairs as genuine ones, of its own six people."""
    fold = left // (PEOPLE // 10)
    inside = np.flatnonzero(~SAME & (fold == right // (PEOPLE // 10)))
    genuine = np.flatnonzero(SAME)
    chosen = [random.choice(inside[fold[inside] == k], 36, replace=False) for k in range(10)]
    rows = np.concatenate([genuine, *chosen])
    rows = rows[np.argsort(fold[rows], kind="stable")]
    distance = 2 - scores[rows].astype(np.float64)  # on the grid of thresholds
    accuracy, _ = pairs.folds_accuracy(distance[None], SAME[rows], fold[rows])
    return pairs._accuracy(accuracy, fold[rows], "")


def shares(benchmarks: int, replicates: int) -> dict[str, float]:
    """Share of benchmarks whose interval holds the truth."""
    resampling = Resampling(replicates)
    held = {name: 0 for name in TRUTH}
    for seed in range(benchmarks):
        found = intervals(seed, resampling)
        for name, truth in TRUTH.items():
            low, high = found[name]
            held[name] += low <= truth <= high
    return {name: count / benchmarks for name, count in held.items()}


def test_intervals_cover_the_truth() -> None:
    covered = shares(benchmarks=200, replicates=200)
    for name in ("auc", "fnmr", "accuracy"):
        assert 0.92 <= covered[name] <= 0.98, covered
    assert covered["rare"] >= 0.92, covered  # few errors: Wilson with an effective count
    assert covered["by pairs"] < 0.87, covered  # pairs taken as independent: far too narrow


if __name__ == "__main__":
    print(shares(benchmarks=1000, replicates=1000))
