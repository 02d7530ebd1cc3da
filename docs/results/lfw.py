"""Prints the figures of docs/btnet.md and docs/heads.md as CSV, from experiments.

    python -m docs.results.lfw plain-0 plain-1 .. > docs/results/lfw.csv

A line is a row of a benchmark by one metric, with its 95 % interval; where it has a baseline, also
the difference to that row, with the interval of paired replicates. Fractions, six decimals. Rows
that an experiment has no model for are left out.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import NamedTuple

from stages.core.entry import start
from stages.report.compare import Revision
from stages.report.replicates import NO_DIFFERENCE, Cell, difference

SETTINGS = ["14&14", "7&7", "112&14", "112&7"]
POOLINGS = ["mean", "norm", "kappa"]
VERIFICATION = ["auc", "eer", "tar@far=1e-2", "tar@far=1e-3"]
QUALITY = ["fnmr@discard=0", "fnmr@discard=0.2", "pauc@discard=0.2", "gain@discard=0.2"]
BRANCHES = {"112&112": [""], "pixels": [""]} | {s: [f"upsampled {s}"] for s in SETTINGS}
FUSIONS = {pooling: [""] for pooling in POOLINGS} | {"coreset": POOLINGS}
CONFIDENCES = {"norm": [""], "kappa": [""]}
WANTED = {  # benchmark -> (row -> its baselines, metrics)
    "lfw_all_pairs": (BRANCHES, VERIFICATION),
    "lfw_pairs": (BRANCHES, ["accuracy"]),
    "lfw_quality": (CONFIDENCES, QUALITY),
    "lfw_quality_1e2": (CONFIDENCES, QUALITY),
    "lfw_video": (FUSIONS, VERIFICATION),
    "lfw_stills": (FUSIONS, VERIFICATION),
}


class Line(NamedTuple):
    """A line of the file; `change` is the row's value minus the baseline's."""

    experiment: str
    benchmark: str
    row: str
    metric: str
    value: float
    low: float
    high: float
    baseline: str
    change: float
    change_low: float
    change_high: float


def lines(experiment: str) -> Iterator[Line]:
    """Of one experiment. Raise InputError if there is none of this name, or its cache is empty."""
    revision = Revision(experiment)
    measured = revision.params()["benchmarks"]
    for benchmark, (rows, metrics) in WANTED.items():
        if benchmark not in measured:
            continue
        cells = revision.cells(benchmark)
        for row, baselines in rows.items():
            for metric in (metric for metric in metrics if (row, metric) in cells):
                for baseline in baselines:
                    yield _line(experiment, benchmark, row, metric, baseline, cells)


def _line(
    experiment: str,
    benchmark: str,
    row: str,
    metric: str,
    baseline: str,
    cells: dict[tuple[str, str], Cell],
) -> Line:
    cell, change = cells[row, metric], NO_DIFFERENCE
    if baseline:
        change = difference(cells[baseline, metric], cell)
    measured = cell.value, cell.low, cell.high
    return Line(experiment, benchmark, row, metric, *measured, baseline,
                change.value, change.low, change.high)  # fmt: skip


def main(experiments: list[str]) -> None:
    """Print the figures of experiments as CSV."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Line._fields)
    for experiment in experiments:
        for line in lines(experiment):
            writer.writerow(_text(value) for value in line)


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.6f}"


if __name__ == "__main__":
    start(main, options={"experiments": {"nargs": "+"}})
