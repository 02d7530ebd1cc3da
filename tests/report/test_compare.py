"""Two revisions of a scratch repository, by the real command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.protocols._bootstrap import Resampling, paired_interval
from stages.protocols._near_one import FADING, people_interval
from stages.protocols._result import BY_PEOPLE
from stages.report.compare import Line, compare, redefined, table
from stages.report.replicates import UNPAIRED, Cell, Difference, Sample, difference
from tests.report.synthetic import entry, write_results

ROOT = Path(__file__).resolve().parents[2]
GIT = ["git", "-c", "user.name=n", "-c", "user.email=e"]
PARAMS = {
    "benchmarks": {"b": {"protocol": "pairs", "dataset": "d"}},
    "report": {"headline": {"pairs": {"metrics": ["accuracy"]}}},
}


def run(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def compared(*revisions: str) -> str:
    return run(sys.executable, "-m", "stages.report", "compare", *revisions)


def write_revision(accuracy: float) -> None:
    """A commit whose replicates lie in DVC's cache alone, as those of a stage do."""
    rows = {"112&112": {"auc": 0.9, "accuracy": accuracy}, "112&7": {"accuracy": 0.7}}
    write_results(Path(), "b", rows, half=0.02)
    for kind in ("intervals.json", "replicates.npz"):
        run(sys.executable, "-m", "dvc", "add", "-q", f"metrics/evaluate/b.{kind}")
    run("git", "add", "-A")
    run(*GIT, "commit", "-q", "-m", str(accuracy))


def test_revisions_by_the_same_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(PARAMS))
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    write_revision(0.80)
    run("git", "tag", "before")
    write_revision(0.85)
    text = compared("before", "HEAD")
    line = next(x for x in text.splitlines() if x.startswith("| b | 112&112 |"))
    assert line.startswith("| b | 112&112 | accuracy | 80.00 | 85.00 | +5.00* |"), text
    low, high = (float(x) for x in re.search(r"\+([\d.]+) to \+([\d.]+)", line).groups())
    assert 4.9 < low <= 5 <= high < 5.1  # the rows' own noise is the same in both
    assert "| b | 112&7 | accuracy | 70.00 | 70.00 | +0.00 |" in text
    assert "unpaired" not in text
    write_results(Path(), "b", {"112&112": {"accuracy": 0.86}}, half=0.02)
    assert "| 85.00 | 86.00 | +1.00* |" in compared("HEAD", "workspace")
    write_results(Path(), "b", {"112&112": {"accuracy": 0.86}}, half=0.02, data="4567")
    assert ", unpaired |" in compared("HEAD", "workspace")  # of other images
    within = compared("HEAD", "--rows", "112&7", "112&112")
    assert "| b | 112&7 : 112&112 | accuracy | 70.00 | 85.00 | +15.00* | +1" in within, within
    assert "auc" not in within  # which one of the rows has not
    added = PARAMS["benchmarks"] | {"c": {"protocol": "pairs", "dataset": "d"}}
    Path("params.yaml").write_text(json.dumps(PARAMS | {"benchmarks": added}))
    assert "| 85.00 | 86.00 | +1.00 |" in compared("HEAD", "workspace")  # which has no c as yet
    assert "| 86.00 | 86.00 |" in compared("workspace", "--rows", "112&112", "112&112")
    assert "no benchmark has both rows" in compared("HEAD", "--rows", "112&7", "nowhere")
    options = {"pick": "nearest", "flip": True}
    write_results(Path(), "b", {"112&112": {"accuracy": 0.86}}, half=0.02, options=options)
    said = compared("HEAD", "workspace")
    assert 'b was not measured alike (A / B): pick null / "nearest", flip null / true.' in said
    assert "test images" not in said
    write_results(Path(), "b", {"112&112": {"accuracy": 0.86}}, half=0.02, overlap=[entry(3)])
    said = compared("HEAD", "workspace")
    assert re.findall(r"^b in .*", said, re.M) == [
        "b in workspace (workspace): 3 of 48 test images are in orl."
    ]
    assert "3 of 48" in compared("workspace", "--rows", "112&112", "112&112")
    assert "not 2 revision(s)" in compared("HEAD")
    assert "is no revision" in compared("nowhere", "HEAD")
    assert compared("nowhere", "HEAD").count("\n") == 1


def test_other_people_are_taken_as_independent() -> None:
    """Half widths of 3 and 4 points make 5."""
    first, second = (
        Cell(v, v - h, v + h, "", Sample(np.zeros(9, np.float32), key, 20, False))
        for v, h, key in ((0.5, 0.03, "a"), (0.6, 0.04, "b"))
    )
    found = difference(first, second)
    assert (found.paired, found.sure) == (False, True)
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.15))


def test_one_person_tells_nothing_of_a_difference() -> None:
    """Nor do replicates that are all alike, unless the cells are the same."""
    same = np.full(9, 0.5, np.float32)
    for number, other in ((1, same + np.float32(0.1)), (20, same + np.float32(0.1))):
        first, second = (
            Cell(v, v - 0.3, v + 0.4, "", Sample(values, "a", number, False))
            for v, values in ((0.5, same), (0.6, other))
        )
        found = difference(first, second)
        assert (found.paired, found.sure) == (False, False)
        assert (found.low, found.high) == (pytest.approx(-0.4), pytest.approx(0.6))
    assert difference(first, first).paired


@pytest.mark.parametrize("few", [0, 1])
def test_cells_of_few_errors_are_taken_as_independent(few: int) -> None:
    """Replicates of few errors are alike however far off they are."""
    sample = Sample(np.zeros(9, np.float32), "a", 20, False)
    methods = ["bootstrap over 20 subjects"] * 2
    assert difference(*(Cell(0.5, 0.4, 0.6, text, sample) for text in methods)).high == 0
    methods[few] += "; fewer than 10 errors"
    found = difference(*(Cell(0.5, 0.4, 0.6, text, sample) for text in methods))
    assert (found.paired, found.sure) == (False, False)
    assert found.high == -found.low == pytest.approx(0.1 * 2**0.5)


def near_one(errors: list[float], other: list[float], number: int = 20) -> tuple[Cell, Cell]:
    """Two AUCs whose people make these errors, their replicates and their own intervals."""
    cells = []
    for shares in (errors, other):
        weights = Resampling(400).weights(number)
        values = 1 - (weights @ np.array(shares)) / number
        value = 1 - sum(shares) / number
        low, high = people_interval(value, values, number, number, 1e6)
        sample = Sample(values.astype(np.float32), "a", number, False)
        cells.append(Cell(value, low, high, f"bootstrap; {BY_PEOPLE}", sample))
    return cells[0], cells[1]


def test_few_people_with_errors_add_their_own_intervals_to_a_paired_one() -> None:
    """By hand: the part of the independent interval is exp(-k / 3), times 1 - the correlation."""
    first, second = near_one([0.1, 0.02] + [0] * 18, [0, 0.05, 0.03] + [0] * 17)
    found = difference(first, second)
    a, b = (cell.sample.values.astype(np.float64) for cell in (first, second))
    counts = [
        ((1 - x.value) * x.value / (np.std(y) * np.sqrt(20 / 19))) ** 2
        for x, y in ((first, a), (second, b))
    ]
    share = np.exp(-min(counts) / FADING) * (1 - np.corrcoef(a, b)[0, 1])
    half = 2.093 * np.std(b - a) * np.sqrt(20 / 19)
    below = np.hypot(second.value - second.low, first.high - first.value)
    above = np.hypot(second.high - second.value, first.value - first.low)
    assert 0.2 < share < 1
    assert found.paired
    assert found.low == pytest.approx(found.value - np.hypot(half, share * below), rel=1e-3)
    assert found.high == pytest.approx(found.value + np.hypot(half, share * above), rel=1e-3)


def test_many_people_with_errors_are_paired_as_before() -> None:
    random = np.random.default_rng(0)
    errors = random.uniform(0.05, 0.15, 120)
    first, second = near_one(errors.tolist(), (errors * 1.1).tolist(), 120)
    found = difference(first, second)
    samples = second.sample.values.astype(np.float64) - first.sample.values
    expected = paired_interval(found.value, samples, 120, False)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-6)


def test_a_difference_near_complete_separation_has_a_width() -> None:
    """Neither without an error, marked as few, nor where one row's few errors are its own."""
    perfect, _ = near_one([0] * 20, [0] * 20)
    perfect = perfect._replace(method=perfect.method + "; fewer than 10 errors")
    found = difference(perfect, perfect)
    width = 1.959964**2 / (20 + 1.959964**2)
    assert (found.paired, found.sure) == (False, False)
    assert (found.low, found.high) == (pytest.approx(-width), pytest.approx(width))
    first, second = near_one([0] * 20, [0.01] + [0] * 19)
    for one, two in ((first, second), (second, first)):
        found = difference(one, two)
        assert found.high - found.low > width / 2
        assert not found.sure
    assert difference(second, second).high == 0  # the same row


def test_own_intervals_that_are_skew_are_put_together_end_by_end() -> None:
    """The lower end is that of the second's low and the first's high one: hypot(.3, .2)."""
    first, second = (
        Cell(v, low, high, "", Sample(np.zeros(9, np.float32), key, 20, False))
        for v, low, high, key in ((0.5, 0.4, 0.7, "a"), (0.6, 0.3, 0.65, "b"))
    )
    found = difference(first, second)
    assert found.low == pytest.approx(0.1 - (0.3**2 + 0.2**2) ** 0.5)
    assert found.high == pytest.approx(0.1 + (0.05**2 + 0.1**2) ** 0.5)


@pytest.mark.parametrize(("folds", "error"), [(True, 0.02**0.5 / 20**0.5), (False, 0.005**0.5)])
def test_the_spread_of_folds_shrinks_with_their_number(folds: bool, error: float) -> None:
    """Five differences 0, .1, .1, .1, .2, whose squares sum to .02 around .1.

    Of folds the error is sqrt(.02 / 4 / 5); replicates of five people have sqrt(.02 / 5 * 5 / 4).
    """
    changes = np.array([0, 0.1, 0.1, 0.1, 0.2], np.float32)
    first, second = (
        Cell(v, 0, 1, "", Sample(values, "a", 5, folds))
        for v, values in ((0.5, np.zeros(5, np.float32)), (0.6, changes))
    )
    found = difference(first, second)
    assert found.paired
    assert found.high - 0.1 == pytest.approx(2.776 * error, abs=1e-6)
    assert found.low + found.high == pytest.approx(0.2)


class Made:
    """A revision that needs no git: a cell of each of its benchmarks."""

    def __init__(self, name: str, accuracy: dict[str, float], listed: list[str]) -> None:
        self.name, self.accuracy, self.listed = name, accuracy, listed

    def params(self) -> dict:
        return {"benchmarks": {name: {"protocol": "pairs"} for name in self.listed}}

    def cells(self, benchmark: str) -> dict[tuple[str, str], Cell]:
        value = self.accuracy[benchmark]
        sample = Sample(np.full(9, value, np.float32), "a", 20, False)
        return {("112&112", "accuracy"): Cell(value, value - 0.1, value + 0.1, "", sample)}


def test_only_what_both_revisions_list_is_compared(tmp_path: Path, monkeypatch) -> None:
    """Results of a benchmark that was taken out of the list may still lie there."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(PARAMS))
    before = Made("before", {"b": 0.8, "gone": 0.7, "new": 0.6}, ["gone", "b"])
    after = Made("after", {"b": 0.9, "gone": 0.7, "new": 0.6}, ["new", "b"])
    (line,) = compare(before, after)
    assert (line.benchmark, line.first, line.second) == ("b", 0.8, 0.9)
    assert line.change.value == pytest.approx(0.1)


def test_what_only_one_of_two_definitions_says_is_named() -> None:
    """In whichever of the two it is."""
    before, after = Made("before", {}, []), Made("after", {}, [])
    before.definition = lambda _: {"protocol": "pairs", "folds": 10, "flip": True}
    after.definition = lambda _: {"protocol": "pairs", "folds": 5, "centre": False}
    assert redefined("b", before, after) == ("folds 10 / 5, flip true / null, centre null / false")
    assert redefined("b", before, before) == ""


def test_the_note_on_unpaired_lines_is_there_if_one_line_is() -> None:
    lines = [
        Line("b", "112&112", "accuracy", 0.8, 0.9, Difference(0.1, 0.05, 0.2, paired=paired))
        for paired in (True, False)
    ]
    assert UNPAIRED not in table("A", lines[:1])
    assert UNPAIRED in table("A", lines[1:])
    text = table("A", lines)
    assert text.endswith(f"\n\n{UNPAIRED}")
    assert "| 80.00 | 90.00 | +10.00* | +5.00 to +20.00 |" in text
    assert "| 80.00 | 90.00 | +10.00* | +5.00 to +20.00, unpaired |" in text
