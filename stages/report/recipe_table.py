"""The rows of the papers' tables beside the recipes that reproduce them.

`python -m stages.report.recipe_table` brings docs/papers.md up to date with recipes/,
published.csv and sources.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.core.entry import start
from stages.core.recipe_file import FOLDER, offered, read_data, read_recipe
from stages.report.published import (
    PERCENT,
    SOURCES,
    bring_up_to_date,
    markdown_table,
    read_published,
    read_sources,
)
from stages.report.results import FAMILIES
from stages.report.rows import numbers, read_rows

if TYPE_CHECKING:
    import pandas as pd

NAME = "stages.report.recipe_table"
ROW = ["paper", "table", "method", "backbone", "train_set"]  # a row of a paper's table
NO_VALUE = "the paper gives no value"


def reasons(published: pd.DataFrame) -> dict[int, str]:
    """Why a cell cannot be measured here, for each that cannot, by its number in published.csv."""
    sources = read_sources()
    unread = {
        name: entry["reason"]
        for entry in sources["data"]
        for name in entry["benchmarks"]
        if "reason" in entry
    }
    found, rows = {}, read_rows()
    for entry in sources["without_recipe"]:
        found |= dict.fromkeys(numbers(rows, entry["rows"], SOURCES), entry["reason"])
    for number, cell in published.iterrows():
        if cell["benchmark"] in unread:
            found.setdefault(number, unread[cell["benchmark"]])
        if cell["value"] != cell["value"]:
            found[number] = NO_VALUE
    return found


def reproduced() -> dict[str, list[int]]:
    """Numbers of the cells that each recipe measures, by its name; recipes of no published row are
    left out.

    Raise InputError if the file of a recipe is not valid, or names no row.
    """
    rows = read_rows()
    recipes = {name: read_recipe(name) for name in offered()}
    return {
        name: numbers(rows, recipe.reproduces, FOLDER / f"{name}.yaml")
        for name, recipe in recipes.items()
        if recipe.reproduces
    }


def document() -> str:
    """The generated part of docs/papers.md (Markdown)."""
    published = read_published()
    parts = ["### Rows and their recipes", _rows(published)]
    parts += ["### What is not as published", _notes()]
    parts += ["### Cells without a recipe", _without(published, reasons(published))]
    return "\n\n".join(parts)


def _rows(published: pd.DataFrame) -> str:
    lines = []
    for name, cells in reproduced().items():
        for _, own in published.loc[cells].groupby(ROW, sort=False):
            lines.append((int(own.index[0]), _line(name, own)))
    head = ["table", "method", "backbone", "training set", "recipe", "data", "published, in %"]
    return markdown_table(head, [line for _, line in sorted(lines)])


def _line(name: str, cells: pd.DataFrame) -> list[str]:
    """One row of a paper's table, all of whose `cells` one recipe measures."""
    first = cells.iloc[0]
    value = f"{first['benchmark']} `{first['setting']}` {first['metric']} "
    value += f"{PERCENT * first['value']:.2f}"
    if len(cells) > 1:
        value += f"; {len(cells)} cells"
    paper = read_sources()["papers"][first["paper"]]["name"]
    return [
        f"{paper} `{first['table']}`",
        *(first[column] for column in ("method", "backbone", "train_set")),
        f"[{name}](../{FOLDER}/{name}.yaml)",
        ", ".join(_data(name, {*cells["benchmark"]})),
        value,
    ]


def _data(name: str, benchmarks: set[str]) -> list[str]:
    """Names of the data sets that a recipe trains on, and of those that have these benchmarks."""
    known = read_data()
    packs = {pack for one in benchmarks for pack in FAMILIES.get(one, (one,))}
    needs = {one: {*known[one].benchmarks} for one in read_recipe(name).needs}
    return [one for one, measured in needs.items() if not measured or measured & packs]


def _notes() -> str:
    named: dict[str, list[str]] = {}
    for name in offered():
        recipe = read_recipe(name)
        if recipe.reproduces and recipe.note:
            named.setdefault(recipe.note.rstrip("."), []).append(f"`{name}`")
    return "\n".join(f"- {', '.join(names)}: {note}." for note, names in named.items())


def _without(published: pd.DataFrame, without: dict[int, str]) -> str:
    cells = published.loc[sorted(without)].assign(reason=without)
    by = ["paper", "table", "method", "backbone", "reason"]
    rows = [
        [f"{paper} `{table}`", f"`{method}`, {backbone}", str(len(own)), reason]
        for (paper, table, method, backbone, reason), own in cells.groupby(by, sort=False)
    ]
    return markdown_table(["table", "method, backbone", "cells", "why"], rows)


def main() -> None:
    """Bring the recipes in docs/papers.md up to date."""
    bring_up_to_date(NAME, document())


if __name__ == "__main__":
    start(main)
