"""metrics/evaluate/<benchmark>.json, its intervals and replicates, and one CSV a kind of curve."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.files import atomic_file, atomic_folder
from stages.datasets._zip import ZipShard
from stages.protocols._result import Result

DIGITS = 6  # decimals of a fraction: one pair in a million
CELL = ("value", "low", "high", "count", "method")  # of a measure, in the file of intervals


def write_metrics(
    folder: Path, benchmark: str, results: dict[str, Result], provenance: dict[str, Any]
) -> None:
    """Write values, beside them intervals, counts, methods and provenance, and the replicates.

    Equal results, equal bytes.
    """
    values, intervals, samples, drawn = {}, {}, {}, {}
    for row, result in results.items():
        values[row] = {name: _rounded(m.value) for name, m in result.measures.items()}
        intervals[row] = {
            name: {key: _rounded(getattr(m, key)) for key in CELL}
            for name, m in result.measures.items()
        }
        for name, m in result.measures.items():
            samples[f"{row}/{name}"] = np.asarray(m.samples, np.float32)
            drawn[f"{row}/{name}"] = [m.drawn.key, m.drawn.number, m.drawn.folds]
    about = {"provenance": provenance, "drawn": drawn}
    _write_json(folder / f"{benchmark}.json", {benchmark: values})
    _write_json(
        folder / f"{benchmark}.intervals.json", {benchmark: intervals, "provenance": provenance}
    )
    _write_arrays(
        folder / f"{benchmark}.replicates.npz",
        {"about": np.array(json.dumps(about, sort_keys=True))} | samples,
    )


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz whose bytes the arrays alone decide, not the version of zlib or of Python."""
    with atomic_file(path) as scratch:
        archive = ZipShard(scratch)
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, values)
            archive.add(f"{name}.npy", content.getbuffer())
        archive.close()


def write_curves(folder: Path, results: dict[str, Result]) -> None:
    """Write `folder/<curve>.csv` with the columns `row` and those of the curve."""
    kinds = dict.fromkeys(kind for result in results.values() for kind in result.curves)
    with atomic_folder(folder) as scratch:
        for kind in kinds:
            with (scratch / f"{kind}.csv").open("w", newline="") as file:
                _write_curve(file, {row: r.curves[kind] for row, r in results.items()
                                    if kind in r.curves})  # fmt: skip


def _write_curve(file: Any, curves: dict[str, dict[str, np.ndarray]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", *next(iter(curves.values()))])
    for row, columns in curves.items():
        for values in zip(*columns.values(), strict=True):
            writer.writerow([row, *(_text(value) for value in values)])


def _rounded(value: Any) -> Any:
    """Rounded; None where there is no number (an interval that could not be resampled)."""
    if not isinstance(value, float):
        return value
    return round(value, DIGITS) if np.isfinite(value) else None


def _text(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, (float, np.floating)) else str(value)


def _write_json(path: Path, content: dict) -> None:
    with atomic_file(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
