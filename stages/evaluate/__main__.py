"""Features x protocol -> `metrics/evaluate/<benchmark>.json`, its intervals, replicates, curves."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.index import read_index, read_table
from stages.core.params import PARAMS_FILE, load, read_params, section
from stages.evaluate.features import Features, choose_rows
from stages.evaluate.fusion import fuser
from stages.evaluate.outputs import write_curves, write_metrics
from stages.evaluate.overlap import overlaps, refuse_training_images, sentences
from stages.evaluate.params import Params
from stages.protocols._bootstrap import Resampling
from stages.protocols._subjects import template_ids
from stages.protocols._tables import Tables

TABLES = (
    "pairs", "templates", "template_pairs", "galleries", "probes", "surveillance", "lowres",
    "distractors",
)  # fmt: skip


def main(benchmark: str) -> None:
    """Score one entry of `benchmarks` in params.yaml."""
    params = read_params()
    settings = section("evaluate", Params, params)
    if benchmark not in params["benchmarks"]:
        known = ", ".join(params["benchmarks"])
        raise InputError(PARAMS_FILE, "no such entry", f"choose one of {known}, or add it",
                         f"benchmarks.{benchmark}")  # fmt: skip
    options = dict(params["benchmarks"][benchmark])
    image_set, key = options.pop("dataset"), f"benchmarks.{benchmark}"
    protocol, options = load("protocols", options.pop("protocol"), options, key)

    images = Path("data/align") / image_set / "index.parquet"
    index = read_index(images)
    tables = read_tables(Path("data/unpack") / image_set / "tables")
    templates = len(template_ids(tables)) if "templates" in tables else 0
    features = Features(Path("data/features") / image_set, len(index), templates)
    given = params.get("features", {})
    external = [name for name, entry in given.items() if entry["dataset"] == image_set]
    lists = params["resolutions"], params["heads"], external
    rows = choose_rows(features, settings, *lists)
    rows = replace(rows, fuse=fuser(features, tables, index))
    resampling = Resampling(settings.bootstrap, settings.seed)

    results = protocol.evaluate(rows, tables, index, options, resampling)
    if not any(result.measures for result in results.values()):
        problem = f"protocol {protocol.__name__.rpartition('.')[2]} gives no number"
        remedy = "ask for rates that so few trials can tell, and for rows in evaluate.settings"
        raise InputError(PARAMS_FILE, problem, remedy, key)
    shared = overlaps(image_set, index, tables, features.models(), params["dataset"])
    refuse_training_images(benchmark, image_set, shared)
    for sentence in sentences(image_set, shared):
        print(f"{benchmark}: {sentence}", file=sys.stderr)
    provenance = {
        "images": f"{image_set}, index sha256 {sha256(images)}",
        "lists": {name: sha256(tables.file(name)) for name in tables.lists},
        "protocol": params["benchmarks"][benchmark]["protocol"],
        "options": options.model_dump(),
        "seed": settings.seed,
        "replicates": settings.bootstrap,
        "models": features.origins(),
        "overlap": shared,
    }
    write_metrics(Path("metrics/evaluate"), benchmark, results, provenance)
    write_curves(Path("plots/evaluate") / benchmark, results)


def read_tables(folder: Path) -> Tables:
    """The protocol lists that a set has, and those it lacks."""
    files = {name: folder / f"{name}.parquet" for name in TABLES}
    lists = {name: read_table(file) for name, file in files.items() if file.is_file()}
    return Tables(folder, lists, _absent(folder / "absent.parquet"))


def _absent(file: Path) -> dict[str, tuple[str, str]]:
    if not file.is_file():
        return {}
    told = read_table(file)
    return dict(zip(told["table"], zip(told["file"], told["origin"], strict=True), strict=True))


if __name__ == "__main__":
    start(main, "benchmark")
