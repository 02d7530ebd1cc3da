"""How often 95 % intervals of AUC and EER hold the truth, in simulated benchmarks.

    python -m docs.results.coverage

simulates what docs/results/coverage.csv lacks and brings the tables of docs/intervals.md up to date
(an hour or two on one core); with `--table` the latter alone. Delete a line of the file to simulate
it anew.

Each benchmark draws people, and all pairs of their images are compared. A score is a sum of normal
effects of people, images and the pair; the true AUC and EER follow from the normal distribution.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
SIZES = {(20, 4): 1000, (40, 4): 600, (100, 2): 300, (300, 2): 150}  # people, images: benchmarks
KEYS = ["effects", "people", "images", "auc"]
COUNTS = ["benchmarks", "misordered", "separated"]
HELD = [f"{metric}_{what}" for metric in ("auc", "eer") for what in ("held", "above", "plain")]


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
) -> Iterator[tuple[float, np.ndarray, int, float]]:
    """Value, replicates, their groups and misordered pairs of AUC and of EER of one benchmark."""
    scores = made.scores(np.random.default_rng([3, seed]))
    people = resampling.pairs(made.person, made.first, made.second, made.same)
    curves = resampled_roc(
        (scores[made.same], people.genuine),
        (scores[~made.same], people.first, people.second),
        people.drawn.number,
        resampling,
    )
    roc = Scores(scores, made.same).roc
    yield roc.auc(), curves.auc(), people.drawn.number, roc.misordered()
    yield roc.eer(), curves.eer(), people.drawn.number, roc.misordered()


def plain_interval(value: float, samples: np.ndarray, number: int) -> tuple[float, float]:
    """From the standard error alone, on the scale of log odds; no width where it is 0."""
    error, spread = standard_error(samples, number), value * (1 - value)
    if not (error > 0 and spread > 0):
        return value, value
    odds, half = value / (1 - value), t95(number - 1) * error / spread
    low, high = (odds * np.exp(sign * min(half, 500)) for sign in (-1, 1))
    return low / (1 + low), high / (1 + high)


def held(made: Benchmarks, benchmarks: int, replicates: int = REPLICATES) -> dict[str, int]:
    """COUNTS but the expected one, and HELD: number of benchmarks whose interval holds the truth,
    whose interval lies on the outer side of it, and whose plain interval holds it."""
    resampling, counts = Resampling(replicates), dict.fromkeys([*COUNTS, *HELD], 0)
    counts |= {"benchmarks": benchmarks, "misordered": round(made.misordered)}
    truths = {"auc": made.auc, "eer": made.effects.eer(made.auc)}
    for seed in range(benchmarks):
        found = measured(made, seed, resampling)
        for (metric, truth), one in zip(truths.items(), found, strict=True):
            value, samples, number, misordered = one
            low, high = people_interval(value, samples, number, made.people, misordered)
            counts[f"{metric}_held"] += low <= truth <= high
            counts[f"{metric}_above"] += truth > high if metric == "eer" else truth < low
            low, high = plain_interval(value, samples, number)
            counts[f"{metric}_plain"] += low <= truth <= high
        counts["separated"] += misordered == 0
    return counts


def main(table: bool) -> None:
    """Simulate what the file lacks, then write the tables."""
    known = read()
    done = set(known[KEYS].itertuples(index=False, name=None))
    for (people, images), benchmarks in SIZES.items():
        for name, effects in EFFECTS.items():
            for auc in TRUTHS:
                if table or (name, people, images, auc) in done:
                    continue
                counts = held(Benchmarks(effects, people, images, auc), benchmarks)
                known.loc[len(known)] = [name, people, images, auc, *counts.values()]
                print(known.tail(1).to_string(header=False), file=sys.stderr)
                with atomic_file(FILE) as scratch:
                    known.to_csv(scratch, index=False, lineterminator="\n")
    text = rows(read())
    print(text)
    with atomic_file(DOCUMENT) as scratch:
        scratch.write_text(filled(DOCUMENT.read_text(), NAME, text))


def read() -> pd.DataFrame:
    """A line for every kind of benchmark: KEYS, COUNTS, HELD."""
    if not FILE.is_file():
        return pd.DataFrame(columns=[*KEYS, *COUNTS, *HELD])
    return pd.read_csv(FILE)


def rows(known: pd.DataFrame) -> str:
    """Coverage in %, and in brackets that of the standard error alone; a line for every size and
    kind of effects, a column for every true AUC."""
    head = ["people x images", "effects"]
    head += [f"{metric}, {auc:g}" for metric in ("AUC", "EER") for auc in TRUTHS]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for (people, images, effects), own in known.groupby(
        ["people", "images", "effects"], sort=False
    ):
        own = own.set_index("auc")
        cells = [
            f"{100 * own[f'{metric}_held'][auc] / own['benchmarks'][auc]:.1f} "
            f"({100 * own[f'{metric}_plain'][auc] / own['benchmarks'][auc]:.0f})"
            if auc in own.index
            else "–"
            for metric in ("auc", "eer")
            for auc in TRUTHS
        ]
        lines.append([f"{people} x {images}", effects, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    start(main, options={"--table": {"action": "store_true"}})
