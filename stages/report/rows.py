"""Rows of published.csv that a recipe reproduces, read without pandas."""

from __future__ import annotations

import csv
from pathlib import Path

from stages.core.errors import InputError
from stages.core.params import STAGES
from stages.core.recipe_file import FOLDER, Rows

TABLE = STAGES / "report" / "published.csv"
NOT_KEYS = ("protocol", "value", "source")  # columns that do not tell which cell a row is
Row = dict[str, str]


def read_rows() -> list[Row]:
    """Every published cell, all columns as text."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def selected(reproduces: Rows, name: str) -> list[Row]:
    """The published cells that `reproduces` of recipe `name` stands for, in the table's order.

    Raise InputError as `numbers` does.
    """
    rows = read_rows()
    return [rows[number] for number in numbers(rows, reproduces, FOLDER / f"{name}.yaml")]


def numbers(rows: list[Row], wanted: Rows, file: Path) -> list[int]:
    """Numbers, from 0, of the cells in which each column of one of the mappings has one of its
    values.

    Args:
        file: the file that `wanted` is from.

    Raises:
        InputError: a mapping names a column that there is not, or selects nothing, or one of its
            values is in no row that it selects.
    """
    columns = [column for column in rows[0] if column not in NOT_KEYS]
    chosen = set()
    for where in wanted:
        for column in where:
            if column not in columns:
                remedy = f"the columns are {', '.join(columns)}"
                raise InputError(file, f"{column!r} is not a column", remedy, "reproduces")
        found = [
            number
            for number, row in enumerate(rows)
            if all(row[column] in values for column, values in where.items())
        ]
        remedy = f"take values from {TABLE.relative_to(STAGES.parent)}"
        if not found:
            raise InputError(file, f"{where} selects no row", remedy, "reproduces")
        for column, values in where.items():
            there = {rows[number][column] for number in found}
            if unknown := [value for value in values if value not in there]:
                problem = f"no row that {where} selects has {', '.join(unknown)} as {column}"
                raise InputError(file, problem, remedy, "reproduces")
        chosen.update(found)
    return sorted(chosen)
