"""How often 95 % intervals of AUC and EER hold the truth, in simulated benchmarks.

    python -m docs.results.coverage

simulates what docs/results/coverage.csv lacks, in rounds, and brings the table of docs/intervals.md
up to date after each (all rounds take some hours on one core; it may be stopped at any time); with
`--table` the latter alone. Delete the file when the method changes.

Each benchmark draws people, and all pairs of their images are compared. A score is a sum of normal
effects of people, images and the pair; the true AUC and EER follow from the normal distribution.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import comb
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

from stages.core.entry import start
from stages.core.files import atomic_file
from stages.core.params import STAGES
from stages.protocols._bootstrap import Resampling, resampled_roc, standard_error, t95
from stages.protocols._near_one import people_interval
from stages.protocols._roc import Scores
from stages.report.published import filled

NAME = "docs.results.coverage"
FILE, DOCUMENT = Path(__file__).with_name("coverage.csv"), STAGES.parent / "docs/intervals.md"
NORMAL = NormalDist()
REPLICATES = 200
TRUTHS = (0.9, 0.99, 0.999, 0.9999)
MOST = 1000  # benchmarks of a kind
SIZES = {(20, 4): 100, (40, 4): 50, (100, 2): 25, (300, 2): 10}  # people, images: a round's share
KEYS = ["effects", "people", "images", "auc"]
COUNTS = ["benchmarks", "misordered", "separated"]
HELD = ["auc_held", "auc_plain", "eer_held", "eer_plain"]


@dataclass(frozen=True)
class Effects:
    """Standard deviations of the normal effects on a score.

    Attributes:
        ease: of a person on genuine scores.
        spread: of a person on impostor scores.
        image, pair: of an image, and of a pair.
        shared: correlation of a person's two effects; below 0 a person who is hard to recognise
            is also easily confused.
    """

    ease: float
    spread: float
    image: float
    pair: float
    shared: float = 0.0

    @property
    def own(self) -> float:
        """Standard deviation of genuine scores."""
        return float(np.sqrt(self.ease**2 + 2 * self.image**2 + self.pair**2))

    @property
    def others(self) -> float:
        """Standard deviation of impostor scores."""
        return float(np.sqrt(2 * self.spread**2 + 2 * self.image**2 + self.pair**2))

    def distance(self, auc: float) -> float:
        """Mean of genuine scores, less that of impostor scores, that gives this AUC."""
        return NORMAL.inv_cdf(auc) * float(np.hypot(self.own, self.others))

    def eer(self, auc: float) -> float:
        return NORMAL.cdf(-self.distance(auc) / (self.own + self.others))


EFFECTS = {
    "weak": Effects(0.2, 0.1, 0.3, 0.5),
    "middle": Effects(0.6, 0.2, 0.3, 0.5),
    "strong": Effects(1.0, 0.4, 0.4, 0.3),
    "shared": Effects(0.8, 0.4, 0.3, 0.4, shared=-0.8),
}


class Benchmarks:
    """Simulated benchmarks of `people` people with `images` images each."""

    def __init__(self, effects: Effects, people: int, images: int, auc: float) -> None:
        self.effects, self.people, self.auc = effects, people, auc
        self.person = np.repeat(np.arange(people), images)
        self.first, self.second = np.triu_indices(len(self.person), 1)
        self.left, self.right = self.person[self.first], self.person[self.second]
        self.same = self.left == self.right
        given = effects.ease, effects.spread, auc
        self.kind = [people, images, *(round(1e4 * number) for number in given)]

    @property
    def misordered(self) -> float:
        """Expected number of pairs of a genuine score and a higher impostor score."""
        return float((1 - self.auc) * np.sum(self.same) * np.sum(~self.same))

    def scores(self, random: np.random.Generator) -> np.ndarray:
        given = self.effects
        ease = random.normal(size=self.people)
        apart = np.sqrt(1 - given.shared**2) * random.normal(size=self.people)
        spread = given.spread * (given.shared * ease + apart)
        image = given.image * random.normal(size=len(self.person))
        scores = image[self.first] + image[self.second]
        scores += given.pair * random.normal(size=len(scores))
        genuine = given.distance(self.auc) + given.ease * ease[self.left]
        scores += np.where(self.same, genuine, spread[self.left] + spread[self.right])
        return scores.astype(np.float32)


def measured(
    made: Benchmarks, seed: int, resampling: Resampling
) -> Iterator[tuple[float, np.ndarray, int, tuple[float, float]]]:
    """Of AUC and of EER of one benchmark: value, replicates, number of groups, and errors as
    `people_interval` takes them."""
    scores = made.scores(np.random.default_rng([seed, *made.kind]))
    people = resampling.pairs(made.person, made.first, made.second, made.same)
    curves = resampled_roc(
        (scores[made.same], people.genuine),
        (scores[~made.same], people.first, people.second),
        people.drawn.number,
        resampling,
    )
    roc = Scores(scores, made.same).roc
    groups, misordered = people.drawn.number, roc.misordered()
    yield roc.auc(), curves.auc(), groups, (misordered, np.inf)
    yield roc.eer(), curves.eer(), groups, (misordered, roc.eer() * min(roc.genuine, roc.impostors))


def plain_interval(value: float, samples: np.ndarray, number: int) -> tuple[float, float]:
    """From the standard error alone, on the scale of log odds; no width where it is 0."""
    error, spread = standard_error(samples, number), value * (1 - value)
    if not (error > 0 and spread > 0):
        return value, value
    odds, half = value / (1 - value), t95(number - 1) * error / spread
    low, high = (odds * np.exp(sign * min(half, 500)) for sign in (-1, 1))
    return low / (1 + low), high / (1 + high)


def held(made: Benchmarks, seeds: range, replicates: int = REPLICATES) -> dict[str, int]:
    """COUNTS, and HELD: number of benchmarks whose interval, or plain interval, holds the truth."""
    resampling, counts = Resampling(replicates), dict.fromkeys([*COUNTS, *HELD], 0)
    counts |= {"benchmarks": len(seeds), "misordered": round(made.misordered)}
    truths = {"auc": made.auc, "eer": made.effects.eer(made.auc)}
    for seed in seeds:
        for (metric, truth), one in zip(
            truths.items(), measured(made, seed, resampling), strict=True
        ):
            value, samples, number, errors = one
            low, high = people_interval(value, samples, number, made.people, *errors)
            counts[f"{metric}_held"] += low <= truth <= high
            low, high = plain_interval(value, samples, number)
            counts[f"{metric}_plain"] += low <= truth <= high
        counts["separated"] += errors[0] == 0
    return counts


def failing(people: int, share: float) -> float:
    """Coverage where each person fails in all pairs with probability `share`, without simulation.

    The number of failing people is binomial, and the replicates' standard error known.
    """
    coverage = 0.0
    for count in range(people + 1):
        chance = comb(people, count) * share**count * (1 - share) ** (people - count)
        value = 1 - count / people
        half = np.sqrt(value * (1 - value) / people) * np.sqrt((people - 1) / people)
        samples = np.array([value - half, value + half])
        low, high = people_interval(value, samples, people, people, 1e6 * count)
        coverage += chance * (low <= 1 - share <= high)
    return coverage


def main(table: bool) -> None:
    """Simulate what the file lacks, round by round, and write the table."""
    known = read().set_index(KEYS)
    kinds = [(name, *size, auc) for size, name, auc in product(SIZES, EFFECTS, TRUTHS) if not table]
    while open_kinds := [kind for kind in kinds if benchmarks_of(known, kind) < MOST]:
        for kind in open_kinds:
            name, people, images, auc = kind
            done = benchmarks_of(known, kind)
            seeds = range(done, min(done + SIZES[people, images], MOST))
            counts = held(Benchmarks(EFFECTS[name], people, images, auc), seeds)
            before = known.loc[kind].to_dict() if done else dict.fromkeys(counts, 0)
            sums = {key: int(before[key]) + count for key, count in counts.items()}
            known.loc[kind, list(sums)] = [*(sums | {"misordered": counts["misordered"]}).values()]
            print(*kind, sums, file=sys.stderr)
            with atomic_file(FILE) as scratch:
                known.astype(int).to_csv(scratch, lineterminator="\n")
        write()
    write()


def benchmarks_of(known: pd.DataFrame, kind: tuple) -> int:
    return int(known["benchmarks"][kind]) if kind in known.index else 0


def write() -> None:
    with atomic_file(DOCUMENT) as scratch:
        scratch.write_text(filled(DOCUMENT.read_text(), NAME, rows(read())))


def read() -> pd.DataFrame:
    """A line for every kind of benchmark: KEYS, COUNTS, HELD."""
    if not FILE.is_file():
        return pd.DataFrame(columns=[*KEYS, *COUNTS, *HELD])
    return pd.read_csv(FILE)


def rows(known: pd.DataFrame) -> str:
    """Coverage in %, and in brackets that of the plain interval; by size, effects and true AUC."""
    head = ["people x images", "effects", "benchmarks"]
    head += [f"{metric} {auc:g}" for auc in TRUTHS for metric in ("AUC", "EER at")]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    together = known.groupby(KEYS[1:], as_index=False)[[*COUNTS, *HELD]].sum()
    known = pd.concat([known, together.assign(effects="all of them")])
    for (people, images, effects), own in known.groupby(KEYS[1:3] + KEYS[:1], sort=False):
        own = own.set_index("auc")
        cells = [
            f"{_percent(own, f'{metric}_held', auc)} ({_percent(own, f'{metric}_plain', auc)})"
            for auc in TRUTHS
            for metric in ("auc", "eer")
        ]
        lines.append([f"{people} x {images}", effects, str(own["benchmarks"].min()), *cells])
    for people in dict.fromkeys(people for people, _ in SIZES):
        cells = [f"{100 * failing(people, 1 - auc):.1f}" for auc in TRUTHS]
        lines.append(
            [str(people), "whole people fail", "exact", *(x for c in cells for x in (c, ""))]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(own: pd.DataFrame, column: str, auc: float) -> str:
    if auc not in own.index:
        return "–"
    return f"{100 * own[column][auc] / own['benchmarks'][auc]:.1f}"


if __name__ == "__main__":
    start(main, options={"--table": {"action": "store_true"}})
