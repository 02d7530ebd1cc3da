"""The report's tables as text: tables.md to read and paste, tables.tex for papers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from stages.report.overlap import MARK, Doubt
from stages.report.page import (
    Report,
    beside_published,
    comparisons,
    doubts,
    few,
    means,
    percent,
)
from stages.report.provenance import measured_from
from stages.report.replicates import UNPAIRED, Difference

LATEX = str.maketrans({c: f"\\{c}" for c in "&%_#"} | {MARK: "\\dag{}"})
PAIRED_NOTE = f"{MARK} Test images or people are in the training set."
PUBLISHED = "Published beside measured"
NOTE = f"In %, 95 % intervals in brackets; * rests on fewer than ten errors. {UNPAIRED}"


@dataclass(frozen=True)
class Table:
    """Text cells; the first column is text, the others are numbers.

    Attributes:
        source: what they were measured from, line by line.
        note: what a reader must know of them, wherever the table is pasted; "" for nothing.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    source: tuple[str, ...] = ()
    note: str = ""


def tables(report: Report) -> list[Table]:
    """Of a benchmark every row by every metric, and branch minus upsampled; means over packs;
    published cells."""
    made, told = [], doubts(report)
    notes = {name: _note(found) for name, found in told.items()}
    for name in report.params["benchmarks"]:
        source = tuple(f"{what}: {value}" for what, value in measured_from(name))
        mine = report.cells[report.cells["benchmark"] == name]
        note = notes.get(name, "")
        made.append(replace(_every_metric(name, mine), source=source, note=note))
        changes = replace(_changes(report, name), note=note)
        made += [changes] if changes.rows else []
    made += [
        replace(_every_metric(name, mine), note=notes.get(name, ""))
        for name, mine in means(report).items()
    ]
    paired = beside_published(report)[2]
    marks = {name: found.mark for name, found in told.items()}
    rows = [
        [
            f"{x.paper}, {x.method}, {x.backbone}, {x.train_set}: "
            f"{x.benchmark} {x.setting} {x.metric}",
            percent(x.published),
            f"{percent(x.measured)}{'*' if x.few else ''}{marks.get(x.benchmark, '')} "
            f"[{percent(x.low)}, {percent(x.high)}]",
            points(x.difference),
            "yes" if x.within else "no",
        ]
        for x in paired.itertuples()
    ]
    if rows:
        head = ["cell", "published", "measured", "difference", "published in the interval"]
        note = PAIRED_NOTE if any(MARK in row[2] for row in rows) else ""
        made.append(Table(PUBLISHED, head, rows, note=note))
    return made


def _note(found: Doubt) -> str:
    return f"{found.mark} {found.text}.".strip()


def _every_metric(name: str, mine: pd.DataFrame) -> Table:
    metrics = list(dict.fromkeys(mine["metric"]))
    rows = []
    for row, group in mine.groupby("row", sort=False):
        cells = {cell.metric: cell for cell in group.itertuples()}
        rows.append([row, *(_text(cells.get(metric)) for metric in metrics)])
    return Table(name, ["row", *metrics], rows)


def _changes(report: Report, name: str) -> Table:
    """Branch minus upsampled by setting and metric, in points, with paired intervals."""
    mine = report.cells[report.cells["benchmark"] == name]
    metrics = list(dict.fromkeys(mine["metric"]))
    rows: dict[str, dict[str, str]] = {}
    for metric in metrics:
        for line in comparisons(mine[mine["metric"] == metric], report.samples):
            if not math.isnan(line.change.value):
                rows.setdefault(line.setting, {})[metric] = _change(line.change)
    body = [[setting, *(cells.get(m, "–") for m in metrics)] for setting, cells in rows.items()]
    return Table(f"{name}: branch minus upsampled, in points", ["setting", *metrics], body)


def _change(change: Difference) -> str:
    ends = f" [{points(change.low)}, {points(change.high)}]"
    return f"{points(change.value)}{ends}{'' if change.paired else ' unpaired'}"


def _text(cell: Any) -> str:
    """Value and 95 % interval in %; marked if it rests on fewer than ten errors."""
    if cell is None:
        return "–"
    ends = "" if math.isnan(cell.low) else f" [{percent(cell.low)}, {percent(cell.high)}]"
    return f"{percent(cell.value)}{'*' if few(cell) else ''}{ends}"


def points(value: float) -> str:
    return f"{100 * value:+.2f}"


def markdown(made: list[Table]) -> str:
    """All tables as Markdown."""
    parts = [NOTE]
    for table in made:
        lines = [table.head, ["---", *["---:"] * (len(table.head) - 1)], *table.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {table.title}\n\n{body}")
        parts += [f"**{table.note}**"] if table.note else []
        parts += ["\n".join(f"- {line}" for line in table.source)] if table.source else []
    return "\n\n".join(parts) + "\n"


def latex(made: list[Table]) -> str:
    """All tables as LaTeX tabulars (package booktabs)."""
    parts = [f"% {NOTE}"]
    for table in made:
        columns = "l" + "r" * (len(table.head) - 1)
        lines = [_line(table.head), "\\midrule", *map(_line, table.rows)]
        if table.note:
            note = f"\\multicolumn{{{len(table.head)}}}{{l}}{{{escape(table.note)}}} \\\\"
            lines += ["\\midrule", note]
        body = "\n".join(lines)
        source = "".join(f"% {line}\n" for line in table.source)
        parts.append(
            f"% {table.title}\n{source}\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n"
            "\\bottomrule\n\\end{tabular}"
        )
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    return text.translate(LATEX).replace("–", "--")


def _line(cells: list[str]) -> str:
    return " & ".join(escape(cell) for cell in cells) + " \\\\"
