"""Published rows that a recipe names."""

from __future__ import annotations

import pytest

from stages.core.errors import InputError
from stages.report.published import read_published
from stages.report.rows import read_rows, selected

TABLE_A = {"paper": ["btnet"], "table": ["a"]}


def test_the_rows_are_those_that_the_report_reads() -> None:
    published = read_published()
    mine = [row["benchmark"] for row in read_rows()]
    assert mine == [*published["benchmark"]]


def test_a_row_has_one_of_the_values_in_every_column() -> None:
    found = selected([TABLE_A | {"setting": ["112&7", "7&7"]}], "one")
    expected = [
        row
        for row in read_rows()
        if (row["paper"], row["table"]) == ("btnet", "a") and row["setting"] in ("112&7", "7&7")
    ]
    assert found == expected != []


def test_mappings_add_up_and_a_row_counts_once() -> None:
    both = selected([TABLE_A, {"paper": ["btnet"]}], "one")
    assert both == selected([{"paper": ["btnet"]}], "one")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            {"papr": ["btnet"]},
            r"recipes/one\.yaml: reproduces: 'papr' is not a column.*paper, table",
        ),
        ({"value": ["86.10"]}, r"'value' is not a column"),
        (TABLE_A | {"method": ["magface"]}, r"recipes/one\.yaml: .*selects no row"),
    ],
)
def test_what_selects_nothing_is_refused(where: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        selected([TABLE_A, where], "one")
