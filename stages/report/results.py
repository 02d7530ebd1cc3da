"""What evaluate measured, as tidy tables: one row a (benchmark, row, metric), curves alike."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.report.params import Headline
from stages.report.provenance import METRICS, outdated
from stages.report.replicates import FEW

CURVES = Path("plots/evaluate")
REMEDY = "run the stage evaluate of this benchmark"
CELL = ["benchmark", "row", "metric"]
COLUMNS = [*CELL, "value", "low", "high", "count", "method"]

NATIVE = 112  # pixels; side of an aligned crop
NATIVE_ROW = f"{NATIVE}&{NATIVE}"  # both images at full size: the trunk alone
UPSAMPLED = "upsampled"
PIXELS = "pixels"
LIKELIHOOD = "likelihood"
SETTING = re.compile(rf"(?P<system>{UPSAMPLED} )?(?P<r1>\d+)&(?P<r2>\d+)")

WORD_AND_NUMBER = re.compile(r"(\D*)(\d*)")
CURVE_COLUMNS = {
    "roc": ["row", "fmr", "tmr"],
    "det": ["row", "fmr", "fnmr"],
    "cmc": ["row", "rank", "rate"],
    "open_set": ["row", "fpir", "tpir"],
    "edc": ["row", "discard", "fnmr"],
    "scores": ["row", "kind", "score", "count"],
}
FACE_COLUMNS = {  # tables of images, rows of the aligned index
    "hardest": ["row", "kind", "score", "first", "second"],
    "failures": ["row", "person", "missed", "pairs", "image"],
}
# Means of several packs that papers report as one number; measured once all packs are.
FAMILIES = {
    "lfw-family-mean": ("lfw", "cfp_ff", "cfp_fp", "agedb_30", "calfw", "cplfw"),
    "hq5-mean": ("lfw", "cfp_fp", "agedb_30", "calfw", "cplfw"),
}
FAMILY_METHOD = "mean of packs, their intervals combined as independent"


def evaluated(params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """`params` less the benchmarks without results of what is there now, and less their test sets;
    and these benchmarks, each with the reason.

    Raise InputError if no benchmark has results.
    """
    entries = params["benchmarks"]
    missing, fingerprint = {}, cache(sha256)
    for name, entry in entries.items():
        there = (METRICS / f"{name}.json").is_file()
        reason = outdated(name, entry["dataset"], fingerprint) if there else "it has no results"
        if reason:
            missing[name] = reason
    if entries and len(missing) == len(entries):
        name, reason = next(iter(missing.items()))
        raise InputError(METRICS / f"{name}.json", reason, REMEDY)
    there = {name: entry for name, entry in entries.items() if name not in missing}
    lost = {entries[name]["dataset"] for name in missing}
    lost -= {entry["dataset"] for entry in there.values()}
    test_sets = [name for name in params["test_sets"] if name not in lost]
    return params | {"benchmarks": there, "test_sets": test_sets}, missing


def read_results(benchmarks: Iterable[str], folder: Path = METRICS) -> pd.DataFrame:
    """Every measured cell: COLUMNS; rows and metrics in a reader's order, not the alphabet's.

    `low` and `high` bound the 95 % interval, `count` is what it rests on; NaN where evaluate gives
    none. Raise InputError if a benchmark was not evaluated.
    """
    rows = []
    for name in benchmarks:
        values = _nested(folder / f"{name}.json", name)
        intervals = _nested(folder / f"{name}.intervals.json", name)
        for row, metrics in sorted(values.items(), key=lambda item: row_order(item[0])):
            for metric, value in sorted(metrics.items(), key=lambda item: _natural(item[0])):
                given = intervals.get(row, {}).get(metric) or {}
                bounds = [_number(given.get(key)) for key in ("low", "high", "count")]
                method = given.get("method", "")
                rows.append([name, row, metric, _number(value), *bounds, method])
    return pd.DataFrame(rows, columns=COLUMNS)


def row_order(row: str) -> tuple:
    """Sorts settings from many pixels to few, then upsampled ones, then other rows, then pixels."""
    match = SETTING.fullmatch(row)
    if match:
        return (1 if match["system"] else 0, -int(match["r1"]), -int(match["r2"]), [])
    return (3 if row == PIXELS else 2, 0, 0, _natural(row))


def _natural(text: str) -> list[tuple[str, float]]:
    """Sorts numbers in `text` by their value: rank5 before rank10."""
    return [(word, float(number or 0)) for word, number in WORD_AND_NUMBER.findall(text)]


def _nested(path: Path, benchmark: str) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(path.read_text())[benchmark]
    except FileNotFoundError:
        raise InputError(path, "file not found", REMEDY) from None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(path, f"not the metrics of {benchmark}", REMEDY) from None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def with_family_means(cells: pd.DataFrame, packs: Sequence[str] = ()) -> pd.DataFrame:
    """`cells` (COLUMNS, setting, protocol) and below them the FAMILIES whose packs are measured.

    Two and more benchmarks `packs` make a family of their own. Packs that were measured in
    different ways have no common mean.

    The interval is that of a mean of independent estimates from their own intervals (Zou and
    Donner, Stat. Med. 27, 2008, "MOVER"): low = mean - sqrt(sum (value - low)^2) / n, and so for
    high. `count` is the sum.
    """
    same, rows = ["row", "metric", "setting", "protocol"], []
    for family, members in families(packs).items():
        inside = cells[cells["benchmark"].isin(members)]
        for key, group in inside.groupby(same, sort=False):
            if set(group["benchmark"]) == set(members):
                rows.append({"benchmark": family, **dict(zip(same, key, strict=True)),
                             **_mean(group)})  # fmt: skip
    return pd.concat([cells, pd.DataFrame(rows, columns=cells.columns)]) if rows else cells


def families(packs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The packs of each family: FAMILIES, and one of all `packs` where these are two or more."""
    found = dict(FAMILIES)
    if len(packs) > 1 and set(packs) not in map(set, FAMILIES.values()):
        found[f"mean-of-{len(packs)}-packs"] = tuple(packs)
    return found


def _mean(group: pd.DataFrame) -> dict[str, Any]:
    value, n = group["value"].mean(), len(group)
    below, above = group["value"] - group["low"], group["high"] - group["value"]
    few = any(FEW in method for method in group["method"])
    return {
        "value": value,
        "low": value - math.sqrt((below**2).sum(skipna=False)) / n,
        "high": value + math.sqrt((above**2).sum(skipna=False)) / n,
        "count": group["count"].sum(),
        "method": f"{FAMILY_METHOD}; {FEW} 10 errors" if few else FAMILY_METHOD,
    }


def headline_cells(
    cells: pd.DataFrame, benchmarks: dict[str, dict[str, Any]], chosen: dict[str, Headline]
) -> dict[str, Any]:
    """benchmark -> the cell that stands for it, as a named tuple of COLUMNS.

    Raise InputError if a benchmark has no metric at all.
    """
    found = {}
    for name, entry in benchmarks.items():
        mine = cells[cells["benchmark"] == name]
        if not len(mine):
            raise InputError(METRICS / f"{name}.json", "holds no metric", REMEDY)
        wanted = chosen.get(entry["protocol"], Headline())
        known = list(dict.fromkeys(mine["metric"]))
        metric = next((m for m in wanted.metrics if m in known), known[0])
        mine = mine[mine["metric"] == metric]
        here = mine[mine["row"] == wanted.row]
        found[name] = next((here if len(here) else mine).itertuples(index=False))
    return found


def heat_maps(cells: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """One metric a benchmark by resolution pair: benchmark, metric, system, r1, r2, value.

    `system` is `branch` or `upsampled`; at 112&112 both are the trunk alone.
    """
    rows = []
    for name, metric in metrics.items():
        mine = cells[(cells["benchmark"] == name) & (cells["metric"] == metric)]
        for row, value in zip(mine["row"], mine["value"], strict=True):
            match = SETTING.fullmatch(row)
            if not match:
                continue
            r1, r2 = int(match["r1"]), int(match["r2"])
            systems = [UPSAMPLED if match["system"] else "branch"]
            if r1 == r2 == NATIVE:
                systems = ["branch", UPSAMPLED]
            rows += [[name, metric, system, r1, r2, value] for system in systems]
    return pd.DataFrame(rows, columns=["benchmark", "metric", "system", "r1", "r2", "value"])


def read_curves(benchmarks: Iterable[str], kind: str, folder: Path = CURVES) -> pd.DataFrame:
    """The curves `kind` of the benchmarks that have them, one below the other.

    Columns: benchmark, then those of `kind`. Raise InputError if a file lacks one of them.
    """
    columns = (CURVE_COLUMNS | FACE_COLUMNS)[kind]
    parts = []
    for name in benchmarks:
        path = folder / name / f"{kind}.csv"
        if not path.exists():
            continue
        table = pd.read_csv(path)
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise InputError(path, f"no column {', '.join(missing)}", REMEDY)
        parts.append(table[columns].assign(benchmark=name))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["benchmark"])
    return table.reindex(columns=["benchmark", *columns])
