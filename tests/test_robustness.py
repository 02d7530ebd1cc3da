"""docs/robustness.md: every row names a test that exists, so that `make test` runs it."""

from __future__ import annotations

import ast
import re

import pytest

from stages.check.code import ROOT

DOCUMENT = ROOT / "docs/robustness.md"
ROWS = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
HEADER = "| what people bring | what happens | test |"
ROW = re.compile(r"\| .+ \| .+ \| `(tests/[\w/]+\.py)::(test_\w+)` \|")


def test_there_are_rows_under_every_heading() -> None:
    sections = DOCUMENT.read_text().split("\n## ")[1:]
    assert sections
    for section in sections:
        assert len([line for line in section.splitlines() if ROW.fullmatch(line)]) >= 3, section


@pytest.mark.parametrize("row", [row for row in ROWS if row != HEADER])
def test_a_row_names_a_test_that_exists(row: str) -> None:
    named = ROW.fullmatch(row)
    assert named, row
    file, test = ROOT / named[1], named[2]
    assert test in {n.name for n in ast.walk(ast.parse(file.read_text())) if hasattr(n, "name")}
