"""tables.md by its cells: a measured pack beside what the papers say of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stages.report.page import Report
from stages.report.replicates import Difference, read_replicates
from stages.report.results import read_results
from stages.report.tables import PUBLISHED, Table, latex, markdown, tables
from tests.report.synthetic import write_results

PARAMS = {
    "benchmarks": {"lfw": {"protocol": "pairs", "dataset": "lfw"}},
    "extract": {"resampler": "pil_bilinear"},
}


def made(rows: dict[str, float], half: float) -> dict[str, Table]:
    """The tables of a pack whose rows have these accuracies."""
    write_results(Path(), "lfw", {row: {"accuracy": v} for row, v in rows.items()}, half)
    cells, samples = read_results(PARAMS["benchmarks"]), read_replicates(PARAMS["benchmarks"])
    return {table.title: table for table in tables(Report(PARAMS, cells, samples, {}))}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_published_cell_and_its_distance_from_the_measured_one() -> None:
    """AdaFace's LFW: 99.13 lies in 98.53 plus and minus 0.61, and 99.53 does not."""
    found = made({"112&112": 0.9853}, 0.0061)[PUBLISHED]
    assert found.head[1:] == ["published", "measured", "difference", "published in the interval"]
    lines = {cell: rest for cell, *rest in found.rows}
    assert len(lines) == len(found.rows) == 10
    casia, webface = (
        lines[f"adaface, adaface, ir18, {name}: lfw 112&112 accuracy"]
        for name in ("casia", "webface4m")
    )
    assert casia == ["99.13", "98.53 [97.92, 99.14]", "-0.60", "yes"]
    assert webface == ["99.53", "98.53 [97.92, 99.14]", "-1.00", "no"]
    assert {line[-1] for line in lines.values()} == {"yes", "no"}


def test_a_measured_cell_above_the_published_one_has_a_plus() -> None:
    found = made({"112&112": 0.9993}, 0.0004)[PUBLISHED]
    line = next(rest for cell, *rest in found.rows if ", ir18, casia:" in cell)
    assert line == ["99.13", "99.93 [99.89, 99.97]", "+0.80", "no"]


def test_changes_are_branch_minus_upsampled_and_say_where_they_are_unpaired(monkeypatch) -> None:
    """Two settings: one difference is paired, the other is not."""
    rows = {"112&7": 0.8, "upsampled 112&7": 0.7, "7&7": 0.6, "upsampled 7&7": 0.65}
    found = made(rows, 0.01)["lfw: branch minus upsampled, in points"]
    (high, paired), (low, other) = found.rows
    assert (high, low) == ("112&7", "7&7")
    assert paired.startswith("+10.00 [+9.")
    assert other.startswith("-5.00 [-5.")
    assert "unpaired" not in paired + other
    alone = Difference(0.01, -0.02, 0.03, paired=False)
    monkeypatch.setattr("stages.report.page.difference", lambda *_: alone)
    found = made(rows, 0.01)["lfw: branch minus upsampled, in points"]
    assert found.rows[0] == ["112&7", "+1.00 [-2.00, +3.00] unpaired"]


def test_a_setting_that_lacks_a_metric_has_a_dash_in_its_place() -> None:
    values = {"accuracy": 0.8, "auc": 0.9}
    rows = {"112&7": values, "upsampled 112&7": values}
    rows |= {"7&7": {"auc": 0.7}, "upsampled 7&7": {"auc": 0.7}}
    write_results(Path(), "lfw", rows, 0.01)
    cells, samples = read_results(["lfw"]), read_replicates(["lfw"])
    found = tables(Report(PARAMS, cells, samples, {}))[1]
    assert found.head == ["setting", "accuracy", "auc"]
    assert found.rows[1][:2] == ["7&7", "–"]
    assert found.rows[1][2].startswith("+0.00 [")


def test_every_row_has_its_own_cell_under_each_metric() -> None:
    """A metric that a row has not is a dash, and so is an interval that evaluate does not give."""
    columns = ["benchmark", "row", "metric", "value", "low", "high", "count", "method"]
    cells = pd.DataFrame(
        [["lfw", "112&112", "accuracy", 0.9, 0.8, 0.95, 9, "fewer than 10 errors"],
         ["lfw", "112&112", "auc", 0.99, float("nan"), float("nan"), 9, ""],
         ["lfw", "kappa", "auc", 0.5, 0.4, 0.6, 9, ""]],
        columns=columns,
    )  # fmt: skip
    write_results(Path(), "lfw", {}, 0)
    first = tables(Report(PARAMS, cells, {}, {}))[0]
    assert first.head == ["row", "accuracy", "auc"]
    assert first.rows == [
        ["112&112", "90.00* [80.00, 95.00]", "99.00"],
        ["kappa", "–", "50.00 [40.00, 60.00]"],
    ]
    assert "\n| kappa | – | 50.00 [40.00, 60.00] |\n" in markdown([first])
    assert "\nkappa & -- & 50.00 [40.00, 60.00] \\\\\n" in latex([first])
