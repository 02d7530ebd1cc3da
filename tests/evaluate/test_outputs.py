"""What is written keeps the digits, says where there is no number, and how samples were had."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np

from stages.evaluate.outputs import write_curves, write_metrics
from stages.protocols._bootstrap import Drawn
from stages.protocols._result import Measure, Result


def result(value: float, low: float, number: int, folds: bool, **curves) -> Result:
    drawn = Drawn(number, "bootstrap", "key", folds)
    samples = np.array([value, value + 1e-5])
    measure = Measure(value, low, 0.9999999, 600, "bootstrap", samples, drawn)
    return Result({"accuracy": measure}, curves)


def test_six_digits_are_kept_and_no_number_is_null(tmp_path: Path) -> None:
    """One pair in a million counts; an interval that could not be taken is no 0."""
    results = {"a": result(0.12345649, math.nan, 20, False), "b": result(0.5, -math.inf, 9, True)}
    write_metrics(tmp_path, "b", results, {"seed": 3})
    assert json.loads((tmp_path / "b.json").read_text()) == {
        "b": {"a": {"accuracy": 0.123456}, "b": {"accuracy": 0.5}}
    }
    written = json.loads((tmp_path / "b.intervals.json").read_text())
    assert written["provenance"] == {"seed": 3}
    cell = {"low": None, "high": 1.0, "count": 600, "method": "bootstrap"}
    assert written["b"] == {
        "a": {"accuracy": {"value": 0.123456, **cell}},
        "b": {"accuracy": {"value": 0.5, **cell}},
    }


def test_replicates_say_of_how_many_people_or_folds_they_are(tmp_path: Path) -> None:
    results = {"a": result(0.1, 0, 20, False), "b": result(0.5, 0, 9, True)}
    write_metrics(tmp_path, "b", results, {"seed": 3})
    with np.load(tmp_path / "b.replicates.npz") as file:
        assert json.loads(str(file["about"])) == {
            "drawn": {"a/accuracy": ["key", 20, False], "b/accuracy": ["key", 9, True]},
            "provenance": {"seed": 3},
        }
        np.testing.assert_allclose(file["a/accuracy"], [0.1, 0.10001], rtol=1e-7)


def test_neither_zlib_nor_zipfile_decides_a_byte_of_the_replicates(tmp_path: Path) -> None:
    """Python 3.11.2 and 3.11.7 number the entries of an .npz differently."""
    write_metrics(tmp_path, "b", {"a": result(0.1, 0, 20, False)}, {"seed": 3})
    with zipfile.ZipFile(tmp_path / "b.replicates.npz") as archive:
        assert [entry.filename for entry in archive.infolist()] == ["about.npy", "a/accuracy.npy"]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert (entry.create_version, entry.extract_version, entry.extra) == (10, 10, b"")


def test_a_curve_keeps_seven_digits_and_only_the_rows_that_have_it(tmp_path: Path) -> None:
    roc = {"fmr": np.array([0, 1.2345678e-6]), "tmr": np.array([0.25, 0.12345678])}
    cmc = {"rank": np.array([1, 10]), "rate": np.array([0.5, 1.0])}
    write_curves(
        tmp_path / "b", {"a": result(1, 0, 1, False, roc=roc), "b": result(1, 0, 1, False, cmc=cmc)}
    )
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == ["cmc.csv", "roc.csv"]
    lines = "row,fmr,tmr\na,0,0.25\na,1.234568e-06,0.1234568\n"
    assert (tmp_path / "b/roc.csv").read_text() == lines
    assert (tmp_path / "b/cmc.csv").read_text() == "row,rank,rate\nb,1,0.5\nb,10,1\n"
