"""The tables of comparisons: what fails is said, and the document keeps its own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import full_size
from benchmarks.__main__ import main
from benchmarks._measure import Row, alternate
from benchmarks._report import write_part
from benchmarks._stamp import Stamp

STAMP = Stamp("0123abc", False, {"one": "0" * 12})


def test_a_comparison_that_fails_leaves_a_row(tmp_path: Path, capsys) -> None:
    document = tmp_path / "performance.md"
    marks = "<!-- begin: python -m benchmarks -->\nold\n<!-- end -->"
    document.write_text(f"Before.\n{marks}\nAfter.\n")
    assert not main(["no_such_file"], document)
    row = "No module named 'benchmarks.no_such_file'"
    assert row in capsys.readouterr().out
    text = document.read_text()
    assert "| failed |" in " ".join(text.split())
    assert row in text
    assert "old" not in text
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")


def test_a_part_is_written_where_its_marks_are(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    marks = "<!-- begin: python -m {} -->\n<!-- end -->\n"
    document.write_text(marks.format("one") + marks.format("two"))
    for module, generated in (("two", "second"), ("one", "first"), ("two", "again")):
        write_part(document, module, generated, STAMP)
    words = [line for line in document.read_text().splitlines() if line.isalpha()]
    assert words == ["first", "again"]


def test_a_ratio_is_theirs_over_ours() -> None:
    assert Row("a", 2.0, 3.0, 1.0).ratio == 1.5
    assert len(alternate(lambda: None, lambda: None, rounds=1)) == 2


@pytest.mark.parametrize("size", [1, 5_000, 500_000])
def test_people_have_as_many_images_as_in_ms1mv3(size: int) -> None:
    labels = full_size.labels(size)
    assert len(labels) == size
    assert labels[0] == 0
    assert set(np.diff(labels)) <= {0, 1}
    if size == 500_000:
        assert size / (labels[-1] + 1) == pytest.approx(5_179_510 / 93_431, rel=0.05)
