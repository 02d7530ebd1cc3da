"""report.html: tables and pictures in the template `page.html.j2`, nothing from outside."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from stages.report import overlap, published, results
from stages.report.conditions import about, with_conditions
from stages.report.gallery import Picture
from stages.report.overlap import MARK, Doubt
from stages.report.pairing import pair
from stages.report.provenance import measured, measured_from, provenance, summary, title
from stages.report.quality import Quality
from stages.report.replicates import FEW, NO_DIFFERENCE, Cell, Difference, Sample, difference

TEMPLATES = Path(__file__).parent
PACKS = "pairs"  # protocol of whose benchmarks papers give means
Samples = dict[tuple[str, str, str], Sample]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        params: params.yaml.
        cells: as `results.read_results` gives them.
        samples: (benchmark, row, metric) -> replicates.
        headline: benchmark -> its headline cell.
        maps: benchmark -> its heat maps.
        curves: benchmark -> its other pictures.
        faces_set: image set of `qualities` and `faces`.
        qualities, faces: quality of the images of that set, and strips of its faces.
        training: curves of trunk, branches and heads over their epochs.
    """

    params: dict[str, Any]
    cells: pd.DataFrame
    samples: Samples
    headline: dict[str, Any]
    maps: dict[str, list[Picture]] = field(default_factory=dict)
    curves: dict[str, list[Picture]] = field(default_factory=dict)
    faces_set: str = ""
    qualities: list[Quality] = field(default_factory=list)
    faces: list[Picture] = field(default_factory=list)
    training: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """One setting: the branch beside the trunk on upsampled images, cells or None.

    Attributes:
        change: branch minus upsampled.
    """

    setting: str
    branch: Any
    upsampled: Any
    change: Difference = NO_DIFFERENCE


def comparisons(cells: pd.DataFrame, samples: Samples) -> list[Comparison]:
    """`cells` of one benchmark and metric as one Comparison a setting, in their order."""
    by_row = {cell.row: cell for cell in cells.itertuples(index=False)}
    matches = [results.SETTING.fullmatch(row) for row in by_row]
    settings = dict.fromkeys(f"{m['r1']}&{m['r2']}" for m in matches if m)
    compared = []
    for setting in settings:
        both = by_row.get(setting), by_row.get(f"{results.UPSAMPLED} {setting}")
        change = NO_DIFFERENCE
        if None not in both:
            branch, upsampled = (
                Cell(c.value, c.low, c.high, c.method, samples[c.benchmark, c.row, c.metric])
                for c in both
            )
            change = difference(upsampled, branch)
        compared.append(Comparison(setting, *both, change))
    return compared


def beside_published(report: Report) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The papers' cells, the measured ones with how they were measured, and those that pair.

    Below the measured ones stand means over packs.
    """
    table = published.read_published()
    conditions = with_conditions(report.cells, report.params)
    mine = results.with_family_means(conditions, _packs(report))
    return table, mine, pair(mine, table)


def _packs(report: Report) -> list[str]:
    entries = report.params["benchmarks"]
    return [name for name, entry in entries.items() if entry["protocol"] == PACKS]


def doubts(report: Report) -> dict[str, Doubt]:
    """What a reader must know of benchmarks, and of means over packs."""
    found = {name: measured(name).get("overlap", []) for name in report.params["benchmarks"]}
    return overlap.doubts(found, results.families(_packs(report)))


def means(report: Report) -> dict[str, pd.DataFrame]:
    """Cells of each mean over packs."""
    cells = beside_published(report)[1]
    cells = cells[~cells["benchmark"].isin(report.params["benchmarks"])]
    return dict(list(cells.groupby("benchmark", sort=False)))


def render(
    report: Report,
    missing: Mapping[str, str] = MappingProxyType({}),
    recipe: str | None = None,
) -> str:
    """The page as one self-contained HTML document.

    Args:
        missing: benchmarks of params.yaml that are left out, and why.
        recipe: sentence about the recipe that params.yaml names, if any.
    """
    params = report.params
    table, mine, paired = beside_published(report)
    words = dict(zip(zip(mine["benchmark"], mine["row"], strict=True),
                     mine["protocol"], strict=True))  # fmt: skip
    told = doubts(report)
    benchmarks = [_benchmark(report, name, words, told) for name in params["benchmarks"]]
    lead = next((item for item in benchmarks if item["maps"]), None)
    for item in benchmarks:
        if item is not lead:  # the first screen has its maps
            item["pictures"] = item["maps"] + item["pictures"]
    context = {
        "title": title(params),
        "summary": summary(params),
        "recipe": recipe,
        "missing": missing,
        "benchmarks": benchmarks,
        "means": [_every_metric(name, cells, told) for name, cells in means(report).items()],
        "lead": lead,
        "faces_set": report.faces_set,
        "sides": sorted({s for q in report.qualities for s in q.values}, reverse=True),
        "qualities": [{"name": q.name, "quartiles": q.quartiles()} for q in report.qualities],
        "strips": report.faces,
        "training": report.training,
        "papers": published.read_sources()["papers"],
        "paired": list(paired.itertuples()),
        "cells": int(table["value"].notna().sum()),
        "needs": published.needs(table, set(mine["benchmark"])),
        "marks": {name: found.mark for name, found in told.items()},
        "mark": MARK,
        "paired_marks": {*paired["benchmark"]} & {n for n, found in told.items() if found.known},
        "provenance": provenance(params),
    }
    return _environment().get_template("page.html.j2").render(context)


def _benchmark(
    report: Report, name: str, words: dict[tuple[str, str], str], told: dict[str, Doubt]
) -> dict[str, Any]:
    entry, headline = report.params["benchmarks"][name], report.headline[name]
    metric = headline.metric
    mine = report.cells[report.cells["benchmark"] == name]
    chosen = mine[mine["metric"] == metric]
    compared = comparisons(chosen, report.samples)
    shown = {row for line in compared for row in _rows_of(line)}
    return _every_metric(name, mine, told) | {
        "dataset": entry["dataset"],
        "protocol": entry["protocol"],
        "words": words[name, headline.row],
        "about": about(entry["protocol"]),
        "metric": metric,
        "headline": headline,
        "comparisons": compared,
        "others": [cell for cell in chosen.itertuples(index=False) if cell.row not in shown],
        "from": measured_from(name),
        "maps": report.maps.get(name, []),
        "pictures": report.curves.get(name, []),
    }


def _every_metric(name: str, mine: pd.DataFrame, told: dict[str, Doubt]) -> dict[str, Any]:
    return {
        "name": name,
        "doubt": told.get(name),
        "metrics": list(dict.fromkeys(mine["metric"])),
        "table": {
            row: {cell.metric: cell for cell in group.itertuples()}
            for row, group in mine.groupby("row", sort=False)
        },
        "few": any(FEW in method for method in mine["method"]),
        "methods": _methods(mine["method"]),
    }


def _methods(texts: pd.Series) -> list[str]:
    """What evaluate says of its intervals, each part once, without the mark of few errors."""
    parts = dict.fromkeys(part.strip() for text in texts for part in text.split(";"))
    return [part for part in parts if part and not part.startswith(FEW)]


def _rows_of(line: Comparison) -> list[str]:
    return [cell.row for cell in (line.branch, line.upsampled) if cell is not None]


def percent(value: float, digits: int = 2) -> str:
    """A fraction as a percentage without its sign; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f}"


def points(value: float) -> str:
    """A difference of fractions in percentage points, always signed; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:+.2f}".replace("-", "−")


def count(value: float) -> str:
    """A whole number with thin spaces between thousands; a dash for NaN."""
    return "–" if math.isnan(value) else f"{int(value):,}".replace(",", "\u2009")


def data_uri(png: bytes) -> str:
    """A PNG as the value of an `src` attribute."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def breakable(protocol: str) -> str:
    """The words of a protocol as HTML that may break after each `+`."""
    from markupsafe import Markup, escape

    return escape(protocol).replace("+", Markup("+<wbr>"))


def few(cell: Any) -> bool:
    """The cell rests on so few errors that evaluate marks its interval."""
    return FEW in cell.method


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        points=points,
        count=count,
        data_uri=data_uri,
        breakable=breakable,
        few=few,
    )
    return environment
