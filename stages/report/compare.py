"""Two revisions, or two rows of one, side by side: the difference and its interval.

`python -m stages.report compare REV_A REV_B` prints a Markdown table of every row's headline
metric, `compare REV --rows ROW_A ROW_B` one of every metric of the two rows. A revision is what git
or `dvc exp` calls one, or `workspace`. Replicates come out of DVC's cache; nothing is evaluated.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.errors import InputError
from stages.core.params import section
from stages.core.yaml12 import parse_yaml
from stages.report.overlap import doubt
from stages.report.params import Headline, Params
from stages.report.replicates import UNPAIRED, Cell, Difference, difference, parse_replicates

WORKSPACE = "workspace"
ENDS = ("value", "low", "high")


@dataclass(frozen=True)
class Line:
    """One row of one benchmark in both revisions."""

    benchmark: str
    row: str
    metric: str
    first: float
    second: float
    change: Difference


class Revision:
    """The files of a revision, from git or from DVC's cache.

    Args:
        name: as the user gave it. Raise InputError if it names no revision.
    """

    def __init__(self, name: str) -> None:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.scm import RevError, resolve_rev

        self.name, self._missing = name, (OSError, DvcException)
        if name == WORKSPACE:
            self.commit, self._files = WORKSPACE, None
            return
        try:
            with Repo() as repo:
                self.commit = resolve_rev(repo.scm, name)
        except (DvcException, RevError) as fault:
            remedy = "give a commit, branch or tag, an experiment, or workspace"
            raise InputError(name, f"is no revision ({fault})", remedy) from None
        self._files = DVCFileSystem(rev=self.commit)

    def read(self, path: str) -> bytes:
        """Raise InputError if the revision or the cache has no such file."""
        try:
            return Path(path).read_bytes() if self._files is None else self._files.read_bytes(path)
        except self._missing as fault:
            remedy = "dvc pull, or dvc repro in that revision and commit dvc.lock"
            raise InputError(path, f"{self.name} has it not ({fault})", remedy) from None

    def cells(self, benchmark: str) -> dict[tuple[str, str], Cell]:
        """(row, metric) -> cell."""
        intervals = self._intervals(benchmark)[benchmark]
        replicates = self.read(f"metrics/evaluate/{benchmark}.replicates.npz")
        samples = parse_replicates(io.BytesIO(replicates))
        return {
            (row, metric): Cell(
                *(_number(cell[end]) for end in ENDS), cell["method"], samples[row, metric]
            )
            for row, metrics in intervals.items()
            for metric, cell in metrics.items()
        }

    def definition(self, benchmark: str) -> dict[str, Any]:
        """The protocol and its options."""
        given = self._intervals(benchmark)["provenance"]
        return {"protocol": given["protocol"], **given.get("options", {})}

    def overlap(self, benchmark: str) -> list[dict[str, Any]]:
        """What its test set shares with training sets; nothing in revisions that did not look."""
        return self._intervals(benchmark)["provenance"].get("overlap", [])

    def _intervals(self, benchmark: str) -> dict[str, Any]:
        return json.loads(self.read(f"metrics/evaluate/{benchmark}.intervals.json"))

    def params(self) -> dict[str, Any]:
        text = self.read("params.yaml").decode()
        return parse_yaml(text, f"params.yaml of {self.name}", "choose another revision")


def main(revisions: list[str], rows: list[list[str]] | None = None) -> None:
    """Compare two revisions by the headline metric of every benchmark that both have, or rows."""
    wanted = 1 if rows else 2
    if len(revisions) != wanted:
        remedy = "give two revisions, or one and --rows ROW_A ROW_B"
        raise InputError(" ".join(revisions), f"not {wanted} revision(s)", remedy)
    found = [Revision(name) for name in revisions]
    if rows:
        lines = [line for pair in rows for line in compare_rows(found[0], *pair)]
        print(table(f"{_named(found[0])}, row B beside row A", lines))
    else:
        lines = compare(*found)
        print(table(f"A: {_named(found[0])}, B: {_named(found[1])}", lines))
        for name in dict.fromkeys(line.benchmark for line in lines):
            if changed := redefined(name, *found):
                print(f"\n{name} was not measured alike (A / B): {changed}.")
    for name in dict.fromkeys(line.benchmark for line in lines):
        for revision in found:
            if told := doubt(revision.overlap(name)):
                print(f"\n{name} in {_named(revision)}: {told.text}.")


def redefined(benchmark: str, first: Revision, second: Revision) -> str:
    """What the revisions' definitions of a benchmark differ in, first / second; often nothing."""
    before, after = first.definition(benchmark), second.definition(benchmark)
    return ", ".join(
        f"{key} {json.dumps(before.get(key))} / {json.dumps(after.get(key))}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    )


def compare_rows(revision: Revision, first: str, second: str) -> list[Line]:
    """A line a benchmark and metric that has both rows. Raise InputError if there is none."""
    lines = []
    for name, (cells,) in _measured(revision.params()["benchmarks"], revision):
        lines += [
            Line(name, f"{first} : {second}", metric, cell.value, cells[second, metric].value,
                 difference(cell, cells[second, metric]))
            for (row, metric), cell in cells.items()
            if row == first and (second, metric) in cells
        ]  # fmt: skip
    if not lines:
        problem = f"no benchmark has both rows, {first} and {second}"
        raise InputError(revision.name, problem, "take their names from metrics/evaluate/")
    return lines


def compare(first: Revision, second: Revision) -> list[Line]:
    """A line a row that both revisions measured. Raise InputError if they share no benchmark."""
    theirs, ours = first.params(), second.params()
    shared = [name for name in ours["benchmarks"] if name in theirs["benchmarks"]]
    if not shared:
        raise InputError("params.yaml", "the revisions share no benchmark", "choose two that do")
    headline = section("report", Params).headline  # as the workspace names it
    lines = []
    for name, (before, after) in _measured(shared, first, second):
        cells = [cell for cell in before if cell in after]
        wanted = headline.get(ours["benchmarks"][name]["protocol"], Headline()).metrics
        known = dict.fromkeys(metric for _, metric in cells)
        metric = next((m for m in wanted if m in known), next(iter(known), None))
        lines += [
            Line(name, row, metric, before[row, metric].value, after[row, metric].value,
                 difference(before[row, metric], after[row, metric]))
            for row, of in cells if of == metric
        ]  # fmt: skip
    return lines


def _measured(
    benchmarks: Iterable[str], *revisions: Revision
) -> Iterator[tuple[str, list[dict[tuple[str, str], Cell]]]]:
    """Benchmark and its cells in each revision. What one of them has not is left out, and named;
    InputError if nothing remains."""
    missing: InputError | None = None
    found = 0
    for name in benchmarks:
        try:
            cells = [revision.cells(name) for revision in revisions]
        except InputError as fault:
            missing = fault
            print(f"compare: leaves out {name}: {fault}", file=sys.stderr)
            continue
        found += 1
        yield name, cells
    if missing and not found:
        raise missing


def table(title: str, lines: list[Line]) -> str:
    """Markdown, in % and percentage points."""
    head = [
        f"{title}. In %, differences in points with 95 % intervals; * the interval leaves out 0.",
        "",
        "| benchmark | row | metric | A | B | B - A | interval |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    rows = [
        f"| {x.benchmark} | {x.row} | {x.metric} | {100 * x.first:.2f} | {100 * x.second:.2f} "
        f"| {100 * x.change.value:+.2f}{'*' if x.change.sure else ''} | {_interval(x.change)} |"
        for x in lines
    ]
    if not all(x.change.paired for x in lines):
        rows += ["", UNPAIRED]
    return "\n".join(head + rows)


def _named(revision: Revision) -> str:
    return f"{revision.name} ({revision.commit[:9]})"


def _interval(change: Difference) -> str:
    if math.isnan(change.low):
        return "–"
    ends = f"{100 * change.low:+.2f} to {100 * change.high:+.2f}"
    return ends if change.paired else f"{ends}, unpaired"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
