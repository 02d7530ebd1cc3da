"""report: metrics and curves of every benchmark, beside the papers' tables, as one page.

Reads the lists in params.yaml, metrics/ with the curves of the trainings, plots/evaluate/,
data/features of the first test set and data/align; writes metrics/summary.json and plots/report/
(merged curves as CSV, pictures as PNG, tables.md, tables.tex, report.html). `compare REV_A REV_B`
prints two revisions side by side, `compare REV --rows ROW_A ROW_B` two rows of one.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.entry import start
from stages.core.files import atomic_file, atomic_folder
from stages.core.params import read_params, section
from stages.report.params import Params

if TYPE_CHECKING:
    from stages.report.page import Report

SUMMARY = Path("metrics/summary.json")
FOLDER = Path("plots/report")
RECIPE = Path("data/check/recipe")  # which one params.yaml names, and how it departs from it
DIGITS = "%.6g"  # of a number in a CSV; more would only make the plots heavier


def main() -> None:
    """Write metrics/summary.json and plots/report/."""
    # here, since pandas and matplotlib take longer to import than everything else
    from stages.report import results
    from stages.report.page import render
    from stages.report.tables import latex, markdown, tables

    params, missing = results.evaluated(read_params())
    for name, reason in missing.items():
        print(f"report: leaves out {name}: {reason}", file=sys.stderr)
    report, data, drawn = assemble(params, section("report", Params, params))
    with atomic_folder(FOLDER) as folder:
        for name, table in data.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format=DIGITS)
        (folder / "pictures").mkdir()
        for name, picture in drawn.items():
            (folder / "pictures" / f"{name}.png").write_bytes(picture.png)
        recipe = json.loads(RECIPE.read_text()) if RECIPE.is_file() else None
        page = render(report, missing, recipe)
        (folder / "report.html").write_text(page, encoding="utf-8")
        made = tables(report)
        (folder / "tables.md").write_text(markdown(made), encoding="utf-8")
        (folder / "tables.tex").write_text(latex(made), encoding="utf-8")
    with atomic_file(SUMMARY) as scratch:
        summary = {name: {cell.metric: cell.value} for name, cell in report.headline.items()}
        scratch.write_text(json.dumps({"summary": summary}, indent=2) + "\n")


def assemble(
    params: dict[str, Any], settings: Params
) -> tuple[Report, dict[str, Any], dict[str, Any]]:
    """What the page shows, tables of curves by name, and all pictures by name."""
    from stages.datasets._store import ImageStore
    from stages.report import gallery, results
    from stages.report.page import Report
    from stages.report.provenance import ALIGNED
    from stages.report.quality import read_qualities
    from stages.report.replicates import read_replicates
    from stages.report.training import training_pictures

    benchmarks, faces_set = params["benchmarks"], params["test_sets"][0]
    cells = results.read_results(benchmarks)
    headline = results.headline_cells(cells, benchmarks, settings.headline)
    curves = {kind: results.read_curves(benchmarks, kind) for kind in results.CURVE_COLUMNS}
    looks = {kind: results.read_curves(benchmarks, kind) for kind in results.FACE_COLUMNS}
    heat = results.heat_maps(cells, {name: cell.metric for name, cell in headline.items()})
    store = cache(lambda image_set: ImageStore(ALIGNED / image_set))

    maps = {name: gallery.heat_map_pictures(name, heat) for name in benchmarks}
    others = {}
    for name, entry in benchmarks.items():
        image, row = store(entry["dataset"]).image, headline[name].row
        others[name] = gallery.curve_pictures(name, curves)
        others[name] |= gallery.hardest_pictures(name, row, looks["hardest"], image)
        others[name] |= gallery.failure_pictures(name, row, looks["failures"], image)
    qualities = read_qualities(faces_set, params["resolutions"], params["heads"])
    first = store(faces_set)
    faces = gallery.face_pictures(qualities, first.index.sha1, settings.faces, first.image)
    training = training_pictures(params)

    report = Report(
        params,
        cells,
        read_replicates(benchmarks),
        headline,
        {name: list(found.values()) for name, found in maps.items()},
        {name: list(found.values()) for name, found in others.items()},
        faces_set,
        qualities,
        list(faces.values()),
        list(training.values()),
    )
    every = [*maps.values(), *others.values(), faces, training]
    drawn = {key: picture for found in every for key, picture in found.items()}
    return report, curves | {"heatmap": heat}, drawn


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        from stages.report.compare import main as compare

        del sys.argv[1]
        revisions = {
            "nargs": "+",
            "metavar": "REVISION",
            "help": "a commit, branch, tag or experiment, or `workspace`: two, or one with --rows",
        }
        rows = {
            "nargs": 2,
            "action": "append",
            "metavar": ("ROW_A", "ROW_B"),
            "help": "compare two rows of one revision by all their metrics, such as 'norm' and "
            "'mean' or '112&14' and 'upsampled 112&14'; may be given more than once",
        }
        options = {"revisions": revisions, "--rows": rows}
        start(compare, options=options, command="stages.report compare")
    else:
        start(main)
