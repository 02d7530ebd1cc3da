"""The papers' numbers (`published.csv`) and what it takes to measure the same (`sources.yaml`).

`python -m stages.report.published` brings docs/papers.md up to date with them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.params import RESTORE
from stages.core.yaml12 import parse_yaml
from stages.report.results import NATIVE, NATIVE_ROW

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent
TABLE = FOLDER / "published.csv"
SOURCES = FOLDER / "sources.yaml"
DOCUMENT = Path("docs/papers.md")
BEGIN, END = "<!-- begin: python -m {} -->", "<!-- end -->"
NAME = "stages.report.published"

KEY = ["paper", "table", "method", "backbone", "train_set", "benchmark", "metric", "setting"]
COLUMNS = [*KEY, "protocol", "value", "source"]
UNKNOWN = "unknown"  # nobody says how it was measured: shown, never paired
THROUGHPUT = "throughput"  # speed and memory: no accuracy, not on the scale of the others
PERCENT = 100.0


def read_published(path: Path = TABLE) -> pd.DataFrame:
    """One row a published cell: COLUMNS, with `value` as a fraction (NaN: the paper says N/A).

    `setting` is the row a measured cell has (`112` becomes `112&112`). Cells of protocol
    `throughput` keep their unit. Raise InputError if the table lacks a column or a value is no
    number.
    """
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(path, f"no column {', '.join(missing)}", "restore it with git checkout")
    value = pd.to_numeric(table["value"], errors="coerce")
    wrong = table.index[value.isna() & (table["value"] != "")]
    if len(wrong):
        line = int(wrong[0]) + 2  # the header is line 1
        raise InputError(path, "value is no number", "give a number or nothing", f"line {line}")
    accuracy = table["protocol"] != THROUGHPUT
    table["value"] = value.where(~accuracy, value / PERCENT)
    table["setting"] = table["setting"].replace(str(NATIVE), NATIVE_ROW)
    return table[COLUMNS]


@cache
def read_sources() -> dict[str, Any]:
    """What published.csv means, in words, and the rows that have no recipe: sources.yaml."""
    return parse_yaml(SOURCES.read_text(), SOURCES, RESTORE)


def needs(published: pd.DataFrame, measured: set[str]) -> list[dict[str, Any]]:
    """What each published benchmark outside `measured` needs before a cell of it can be paired.

    Returns:
        One entry a data set: `benchmarks` (names), `data`, `origin`, `sets` (entries of
        recipes/_data.yaml; empty where the pipeline cannot read it), `train_sets` of its rows, and
        `protocols`, each with `name`, `cells`, and `options` (settings that measure the same) or
        the `reason` why there are none.
    """
    entries = []
    for source in read_sources()["data"]:
        names = [name for name in source["benchmarks"] if name not in measured]
        rows = published[published["benchmark"].isin(names) & published["value"].notna()]
        if not len(rows):
            continue
        counts = rows["protocol"].value_counts(sort=False)
        entries.append(
            {
                "sets": [],
                **source,
                "benchmarks": names,
                "train_sets": list(dict.fromkeys(rows["train_set"])),
                "protocols": [
                    {"name": name, "cells": cells, **_settings(name)}
                    for name, cells in sorted(counts.items(), key=lambda item: item[0] == UNKNOWN)
                ],
            }
        )
    return entries


def _settings(protocol: str) -> dict[str, str | None]:
    settings = read_sources()["settings"][protocol]
    if "reason" in settings:
        return {"options": None, "reason": settings["reason"]}
    parts = [
        f"descriptors.{name}: {_flow(options)}"
        for name, options in settings.get("descriptors", {}).items()
    ]
    if settings["benchmark"]:
        parts.insert(0, _flow(settings["benchmark"]))
    if "extract" in settings:
        parts.append(f"extract: {_flow(settings['extract'])}")
    return {"options": "; ".join(parts) or "defaults", "reason": None}


def _flow(options: dict[str, Any]) -> str:
    """Options as one would write them inside the braces of a YAML entry."""
    import yaml

    return yaml.safe_dump(options, default_flow_style=True, sort_keys=False, width=1000).strip()


def document() -> str:
    """The generated part of docs/papers.md (Markdown)."""
    published, sources = read_published(), read_sources()
    parts = [_tables(published, sources), _data(published), _protocols(published, sources)]
    return "\n\n".join(parts)


def _tables(published: pd.DataFrame, sources: dict[str, Any]) -> str:
    rows = []
    for (paper, table), group in published.groupby(["paper", "table"], sort=False):
        values = group[group["value"].notna()]
        pairable = values[~values["protocol"].isin([UNKNOWN, THROUGHPUT])]
        rows.append(
            [
                f"{sources['papers'][paper]['name']}, `{table}`",
                sources["tables"][f"{paper}/{table}"],
                _listed(values["source"]),
                _listed(values["benchmark"], code=True),
                str(len(values)),
                str(len(pairable)),
            ]
        )
    head = ["table", "what it holds", "taken from", "benchmarks", "cells", "protocol known"]
    return "### Tables\n\n" + markdown_table(head, rows)


def _data(published: pd.DataFrame) -> str:
    parts = ["### Data and settings that each benchmark needs"]
    for entry in needs(published, set()):
        names = ", ".join(f"`{name}`" for name in entry["benchmarks"])
        part = f"**{names}**: {entry['data']} {entry['origin']}"
        part += f" Training sets of the published rows: {', '.join(entry['train_sets'])}."
        if entry["sets"]:
            part += f" In a recipe: `needs: [{', '.join(entry['sets'])}]`."
        rows = [
            [
                f"`{p['name']}`",
                str(p["cells"]),
                f"`{p['options']}`" if p["options"] else p["reason"],
            ]
            for p in entry["protocols"]
        ]
        parts += [part, markdown_table(["protocol", "cells", "settings"], rows)]
    return "\n\n".join(parts)


def _protocols(published: pd.DataFrame, sources: dict[str, Any]) -> str:
    used = {part for protocol in published["protocol"] for part in protocol.split("+")}
    rows = [[f"`{name}`", text] for name, text in sources["protocols"].items() if name in used]
    return "### Words of a protocol\n\n" + markdown_table(["word", "meaning"], rows)


def _listed(values: pd.Series, code: bool = False) -> str:
    names = list(dict.fromkeys(values))
    return ", ".join(f"`{name}`" if code else name for name in names)


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(text: str, name: str, generated: str) -> str:
    """`text` of docs/papers.md with the part that `python -m name` generates brought up to date."""
    before, begin, rest = text.partition(BEGIN.format(name))
    _, end, after = rest.partition(END)
    if not (begin and end):
        remedy = f"add {BEGIN.format(name)} .. {END}"
        raise InputError(DOCUMENT, "lacks the marks of its generated part", remedy)
    return f"{before}{begin}\n\n{generated}\n\n{END}{after}"


def bring_up_to_date(name: str, generated: str) -> None:
    """Write the part of docs/papers.md that `python -m name` generates."""
    text = filled(DOCUMENT.read_text(), name, generated)
    with atomic_file(DOCUMENT) as scratch:
        scratch.write_text(text)


def main() -> None:
    """Bring the generated part of docs/papers.md up to date with the published table."""
    bring_up_to_date(NAME, document())


if __name__ == "__main__":
    start(main)
