"""report: metrics and curves of every benchmark, beside the papers' tables, as one page.

Reads the lists in params.yaml, metrics/, plots/evaluate/, data/features and data/align of the first
test set; writes metrics/summary.json and plots/report/ (merged curves as CSV, pictures as PNG,
report.html).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.core.entry import start
from stages.core.files import atomic_file, atomic_folder
from stages.core.params import read_params, section
from stages.datasets._store import ImageStore
from stages.report import gallery, results
from stages.report.page import Report, render
from stages.report.params import Params
from stages.report.provenance import ALIGNED
from stages.report.quality import Quality, read_qualities

SUMMARY = Path("metrics/summary.json")
FOLDER = Path("plots/report")
DIGITS = "%.6g"  # of a number in a CSV; more would only make the plots heavier


def main() -> None:
    """Write metrics/summary.json and plots/report/."""
    params = read_params()
    settings = section("report", Params, params)
    benchmarks = params["benchmarks"]

    cells = results.read_results(benchmarks)
    headline = results.headline_cells(cells, benchmarks, settings.headline)
    tables = {kind: results.read_curves(benchmarks, kind) for kind in results.CURVE_COLUMNS}
    heat = results.heat_maps(cells, {name: cell.metric for name, cell in headline.items()})
    maps = {name: gallery.heat_map_pictures(name, heat) for name in benchmarks}
    curves = {name: gallery.curve_pictures(name, tables) for name in benchmarks}
    faces_set, qualities, faces = _quality(params, settings.faces)

    report = Report(
        params,
        cells,
        headline,
        {name: list(found.values()) for name, found in maps.items()},
        {name: list(found.values()) for name, found in curves.items()},
        faces_set,
        qualities,
        list(faces.values()),
    )
    with atomic_folder(FOLDER) as folder:
        for name, table in {**tables, "heatmap": heat}.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format=DIGITS)
        (folder / "pictures").mkdir()
        for found in [*maps.values(), *curves.values(), faces]:
            for name, picture in found.items():
                (folder / "pictures" / f"{name}.png").write_bytes(picture.png)
        (folder / "report.html").write_text(render(report), encoding="utf-8")
    with atomic_file(SUMMARY) as scratch:
        summary = {name: {cell.metric: cell.value} for name, cell in headline.items()}
        scratch.write_text(json.dumps({"summary": summary}, indent=2) + "\n")


def _quality(
    params: dict[str, Any], count: int
) -> tuple[str, list[Quality], dict[str, gallery.Picture]]:
    image_set = params["test_sets"][0]
    store = ImageStore(ALIGNED / image_set)
    qualities = read_qualities(image_set, params["resolutions"], params["heads"])
    faces = gallery.face_pictures(qualities, store.index.sha1, count, store.image)
    return image_set, qualities, faces


if __name__ == "__main__":
    start(main)
