"""The report's tables as text: tables.md to read and paste, tables.tex for papers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from stages.report.page import Report, beside_published, few

LATEX = str.maketrans({c: f"\\{c}" for c in "&%_#"})
PUBLISHED = "Published beside measured"
NOTE = "In %, 95 % intervals in brackets; * rests on fewer than ten errors."


@dataclass(frozen=True)
class Table:
    """Text cells; the first column is text, the others are numbers."""

    title: str
    head: list[str]
    rows: list[list[str]]


def tables(report: Report) -> list[Table]:
    """One table a benchmark, every row by every metric, and one of published cells."""
    made = [_benchmark(report, name) for name in report.params["benchmarks"]]
    paired = beside_published(report)[2]
    rows = [
        [
            f"{x.paper}, {x.method}, {x.backbone}, {x.train_set}: "
            f"{x.benchmark} {x.setting} {x.metric}",
            percent(x.published),
            f"{percent(x.measured)} [{percent(x.low)}, {percent(x.high)}]",
            f"{100 * x.difference:+.2f}",
            "yes" if x.within else "no",
        ]
        for x in paired.itertuples()
    ]
    if rows:
        head = ["cell", "published", "measured", "difference", "published in the interval"]
        made.append(Table(PUBLISHED, head, rows))
    return made


def _benchmark(report: Report, name: str) -> Table:
    mine = report.cells[report.cells["benchmark"] == name]
    metrics = list(dict.fromkeys(mine["metric"]))
    rows = []
    for row, group in mine.groupby("row", sort=False):
        cells = {cell.metric: cell for cell in group.itertuples()}
        rows.append([row, *(_text(cells.get(metric)) for metric in metrics)])
    return Table(name, ["row", *metrics], rows)


def _text(cell: Any) -> str:
    """Value and 95 % interval in %; marked if it rests on fewer than ten errors."""
    if cell is None:
        return "–"
    ends = "" if math.isnan(cell.low) else f" [{percent(cell.low)}, {percent(cell.high)}]"
    return f"{percent(cell.value)}{'*' if few(cell) else ''}{ends}"


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def markdown(made: list[Table]) -> str:
    """All tables as Markdown."""
    parts = [NOTE]
    for table in made:
        lines = [table.head, ["---", *["---:"] * (len(table.head) - 1)], *table.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {table.title}\n\n{body}")
    return "\n\n".join(parts) + "\n"


def latex(made: list[Table]) -> str:
    """All tables as LaTeX tabulars (package booktabs)."""
    parts = [f"% {NOTE}"]
    for table in made:
        columns = "l" + "r" * (len(table.head) - 1)
        lines = [_line(table.head), "\\midrule", *map(_line, table.rows)]
        body = "\n".join(lines)
        parts.append(
            f"% {table.title}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n"
            "\\bottomrule\n\\end{tabular}"
        )
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    return text.translate(LATEX).replace("–", "--")


def _line(cells: list[str]) -> str:
    return " & ".join(escape(cell) for cell in cells) + " \\\\"
