"""Differences between two measured cells, and their paired intervals.

Two rows, or two revisions, that were measured on the same people are hard or easy for the same of
them. Where both had the same people redrawn in the same replicates, the replicates are subtracted,
and the interval is that of the difference; it is far narrower than two intervals side by side. Of
a few errors the replicates are too much alike to tell, and the two intervals count.

Between the two lie AUC and EER of few people with errors (see stages/protocols/_near_one.py): the
replicates know nothing of the people who are missing. There the interval of independent cells adds
to the paired one, by as much as people with errors are few and the replicates differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import BadZipFile

import numpy as np

from stages.core.errors import InputError
from stages.protocols._bootstrap import paired_interval, standard_error, tells
from stages.protocols._near_one import unseen_weight
from stages.protocols._result import BY_PEOPLE

METRICS = Path("metrics/evaluate")
FEW = "fewer than"  # how evaluate marks an interval that rests on few errors
UNPAIRED = (
    "Unpaired: the two rest on fewer than ten errors, on a single person, on other images or "
    "people, or on another seed; the interval takes them as independent."
)


class Sample(NamedTuple):
    """A cell's replicates, float32 [n], and what was redrawn for them (see `Drawn`) of which data.

    Attributes:
        key: the same people of the same images and lists, redrawn from the same seed.
    """

    values: np.ndarray
    key: str
    number: int
    folds: bool


class Cell(NamedTuple):
    """A measured cell.

    Attributes:
        value, low, high: the number and its own interval.
        method: how evaluate took that, in words.
        sample: its replicates.
    """

    value: float
    low: float
    high: float
    method: str
    sample: Sample

    @property
    def few(self) -> bool:
        """It rests on too few errors for its replicates to tell how far off it may be."""
        return FEW in self.method


@dataclass(frozen=True)
class Difference:
    """Of two cells, with its 95 % interval.

    Attributes:
        value, low, high: second minus first.
        paired: the interval is that of the redrawn differences; otherwise it takes the cells as
            independent.
    """

    value: float
    low: float
    high: float
    paired: bool

    @property
    def sure(self) -> bool:
        """The interval leaves out 0."""
        return self.low > 0 or self.high < 0


NO_DIFFERENCE = Difference(math.nan, math.nan, math.nan, paired=False)


def difference(first: Cell, second: Cell) -> Difference:
    """Second minus first.

    Cells of other people, of few errors or of one person are taken as independent; the interval is
    then made of their own ones (Zou and Donner, Stat. Med. 27, 2008, "MOVER"), too wide rather than
    too narrow.
    """
    value = second.value - first.value
    below = math.hypot(second.value - second.low, first.high - first.value)
    above = math.hypot(second.high - second.value, first.value - first.low)
    a, b = first.sample, second.sample
    if a.key == b.key and len(a.values) == len(b.values) and not (first.few or second.few):
        samples = b.values.astype(np.float64) - a.values
        if tells(value, samples, a.number):
            low, high = paired_interval(value, samples, a.number, a.folds)
            share = _unseen(first, second)
            low = value - math.hypot(value - low, share * below)
            high = value + math.hypot(high - value, share * above)
            return Difference(value, low, high, paired=True)
    return Difference(value, value - below, value + above, paired=False)


def _unseen(first: Cell, second: Cell) -> float:
    """How much of the interval of independent cells belongs to a paired one, 0 to 1.

    The weight of unseen people, the larger of the two, times one minus the correlation of the
    replicates: unseen people fail alike in rows that are alike.
    """
    if not (BY_PEOPLE in first.method and BY_PEOPLE in second.method):
        return 0.0
    both = np.stack([first.sample.values, second.sample.values]).astype(np.float64)
    both = both[:, np.isfinite(both).all(axis=0)]
    alike = np.corrcoef(both)[0, 1] if np.all(np.ptp(both, axis=1) > 0) else 0.0
    errors = (standard_error(one, first.sample.number) for one in both)
    weight = max(
        unseen_weight(cell.value, error)
        for cell, error in zip((first, second), errors, strict=True)
    )
    return float(weight * (1 - np.clip(alike, 0, 1)))


def read_replicates(
    benchmarks: Iterable[str], folder: Path = METRICS
) -> dict[tuple[str, str, str], Sample]:
    """(benchmark, row, metric) -> replicates. Raise InputError if a file is missing or none."""
    found = {}
    for name in benchmarks:
        path = folder / f"{name}.replicates.npz"
        try:
            with path.open("rb") as file:
                samples = parse_replicates(file)
        except (OSError, ValueError, KeyError, BadZipFile) as fault:
            remedy = "run the stage evaluate of this benchmark"
            raise InputError(path, f"cannot read replicates ({fault})", remedy) from None
        found |= {(name, *cell): sample for cell, sample in samples.items()}
    return found


def parse_replicates(file: BinaryIO) -> dict[tuple[str, str], Sample]:
    """(row, metric) -> replicates, of one file; their keys differ where the data do."""
    with np.load(file, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        data = json.dumps([about["provenance"][name] for name in ("images", "lists")])
        return {
            tuple(name.rsplit("/", 1)): Sample(arrays[name], f"{key} {data}", number, folds)
            for name, (key, number, folds) in about["drawn"].items()
        }
