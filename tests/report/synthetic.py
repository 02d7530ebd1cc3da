"""A project with made-up results, small and fixed: all that the report reads, without a run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core.files import sha256

RESOLUTIONS = [28, 14, 7]
SEPARATION = {112: 3.2, 28: 2.7, 14: 1.9, 7: 1.0}  # of the two score distributions, in deviations
SETTINGS = ["112&112", "112&28", "112&14", "112&7", "28&28", "14&14", "7&7"]
ROWS = {
    **{row: min(SEPARATION[int(side)] for side in row.split("&")) for row in SETTINGS},
    **{
        f"upsampled {row}": 0.75 * min(SEPARATION[int(side)] for side in row.split("&"))
        for row in SETTINGS[1:]
    },
    "pixels": 0.8,
}
GENUINE, IMPOSTOR = 300, 3000
RATES = (1e-1, 1e-2, 1e-3)


def write_results(
    folder: Path,
    name: str,
    metrics: dict[str, dict[str, float]],
    half: float,
    count: int = 600,
    data: str = "0123",
    **provenance: object,
) -> None:
    """metrics/evaluate/<name>.json and its intervals: each value plus and minus `half`.

    Of the images of the set people, if they are there, else of `data`.
    """
    intervals = {
        row: {
            metric: {
                "value": value,
                "low": value - half,
                "high": value + half,
                "count": count,
                "method": "bootstrap over 20 subjects, 1000 replicates",
            }
            for metric, value in values.items()
        }
        for row, values in metrics.items()
    }
    target = folder / "metrics/evaluate"
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}.json").write_text(json.dumps({name: metrics}))
    index = folder / "data/align/people/index.parquet"
    images = f"people, index sha256 {sha256(index)}" if index.is_file() else data
    given = {"images": images, "lists": {}, "protocol": "pairs", "seed": 0, **provenance}
    (target / f"{name}.intervals.json").write_text(
        json.dumps({name: intervals, "provenance": given})
    )
    write_replicates(target / f"{name}.replicates.npz", metrics, half, given)


def entry(
    shared: int = 0, crops: int = 0, training_set: str = "orl", **people: object
) -> dict[str, object]:
    """What evaluate says of 48 test images of which `shared` are training images."""
    counts = {"images": 48, "shared": shared, "raw": shared, "crops": crops}
    named = {"people": None, "same_name": None, "names": []}
    return {"training_set": training_set, **counts, **named, **people}


def write_replicates(
    path: Path, metrics: dict[str, dict[str, float]], half: float, provenance: dict
) -> None:
    """Replicates of 20 people: what all rows share, and a tenth of that of each row's own."""
    random = np.random.default_rng(0)
    shared = random.normal(size=400)
    samples, drawn = {}, {}
    for row, values in metrics.items():
        for metric, value in values.items():
            name = f"{row}/{metric}"
            noise = shared + 0.1 * random.normal(size=400)
            samples[name] = (value + half / 2.1 * noise).astype(np.float32)
            drawn[name] = ["20 people", 20, False]
    np.savez(path, about=json.dumps({"drawn": drawn, "provenance": provenance}), **samples)


def write_verification(folder: Path, name: str, seed: int) -> None:
    """A benchmark with ROC, DET, scores, accuracy and TAR, from normal scores of known distance."""
    random = np.random.default_rng(seed)
    tables: dict[str, list[pd.DataFrame]] = {"roc": [], "det": [], "scores": []}
    metrics = {}
    for row, separation in ROWS.items():
        genuine = np.tanh(0.25 * random.normal(separation, 1, GENUINE))
        impostor = np.tanh(0.25 * random.normal(0, 1, IMPOSTOR))
        thresholds = np.concatenate([[2.0], np.sort(genuine)[::-1], [-2.0]])
        fmr = np.array([(impostor >= t).mean() for t in thresholds])
        tmr = np.array([(genuine >= t).mean() for t in thresholds])
        tables["roc"].append(pd.DataFrame({"row": row, "fmr": fmr, "tmr": tmr}))
        tables["det"].append(pd.DataFrame({"row": row, "fmr": fmr, "fnmr": 1 - tmr}))
        for kind, scores in (("genuine", genuine), ("impostor", impostor)):
            counts, edges = np.histogram(scores, bins=50, range=(-1, 1))
            middle = (edges[1:] + edges[:-1]) / 2
            columns = {"row": row, "score": middle, "kind": kind, "count": counts}
            tables["scores"].append(pd.DataFrame(columns))
        metrics[row] = {
            "accuracy": float(((tmr + 1 - fmr) / 2).max()),
            "auc": float((genuine[:, None] > impostor).mean()),
            **{f"tar@far={rate:.0e}".replace("e-0", "e-"): float(tmr[fmr <= rate].max())
               for rate in RATES},
        }  # fmt: skip
    write_results(folder, name, metrics, half=0.012)
    tables["hardest"] = [
        pd.DataFrame({"row": "112&112", "kind": kind, "score": [0.1, 0.2], "first": [0, 1],
                      "second": [2, last]})
        for kind, last in (("genuine", 3), ("impostor", -1))
    ]  # fmt: skip
    columns = {"row": "112&112", "person": [4, 7], "missed": [5, 1], "pairs": 6, "image": [0, 1]}
    tables["failures"] = [pd.DataFrame(columns)]
    _write_curves(folder, name, tables)


def write_identification(folder: Path, name: str, seed: int) -> None:
    """A benchmark with a CMC, rank-1 and TPIR."""
    random = np.random.default_rng(seed)
    curves, metrics = [], {}
    for row, separation in ROWS.items():
        ranks = 1 + (random.normal(0, 1, (200, 19)) > random.normal(separation, 1, (200, 1))).sum(1)
        rate = np.array([(ranks <= rank).mean() for rank in range(1, 21)])
        curves.append(pd.DataFrame({"row": row, "rank": range(1, 21), "rate": rate}))
        metrics[row] = {"tpir@fpir=0.1": float(0.9 * rate[0]), "rank1": float(rate[0])}
    write_results(folder, name, metrics, half=0.03, count=200)
    _write_curves(folder, name, {"cmc": curves})


def _write_curves(folder: Path, name: str, tables: dict[str, list[pd.DataFrame]]) -> None:
    target = folder / "plots/evaluate" / name
    target.mkdir(parents=True, exist_ok=True)
    for kind, parts in tables.items():
        pd.concat(parts).to_csv(target / f"{kind}.csv", index=False)


def write_surveillance(folder: Path, name: str, seed: int) -> None:
    """A benchmark without settings: rows are the rules that choose a branch."""
    random = np.random.default_rng(seed)
    rows = [f"{a}+{b}" for a in ("avg", "max", "min") for b in ("ceil", "floor", "near")]
    curves, metrics = [], {}
    for row in [*rows, "trunk"]:
        fpir = np.linspace(1, 0, 60)
        tpir = fpir ** random.uniform(0.2, 0.5)
        curves.append(pd.DataFrame({"row": row, "fpir": fpir, "tpir": tpir}))
        area = -((tpir[1:] + tpir[:-1]) / 2) @ np.diff(fpir)
        metrics[row] = {"auc": float(area), "tpir20@fpir=0.1": float(tpir[54])}
    write_results(folder, name, metrics, half=0.05, count=90)
    _write_curves(folder, name, {"open_set": curves})


def write_images(folder: Path, image_set: str, images: list[np.ndarray]) -> None:
    """data/align/<set> and data/features/<set>: images of rising quality, the last one twice."""
    from PIL import Image

    from stages.datasets._store import ImageSetWriter

    store = folder / "data/align" / image_set
    store.mkdir(parents=True)
    images = [*images, images[-1]]
    with ImageSetWriter(store, len(images), store) as writer:
        for number, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, format="PNG")
            writer.add(buffer.getvalue(), f"image {number}")
    quality = np.linspace(1, 2, len(images), dtype=np.float32)
    quality[-1] = quality[-2]
    arrays = {"trunk/norm": 20 * quality, "heads/scf/kappa": 400 * quality}
    for r in RESOLUTIONS:
        share = (r / 112) ** 0.25
        arrays[f"trunk/upsampled_{r}/norm"] = 20 * share * quality
        arrays[f"trunk/branch_{r}/norm"] = 21 * share * quality[::-1]
        arrays[f"heads/scf/kappa_{r}"] = 400 * share * quality
    for name, values in arrays.items():
        path = folder / "data/features" / image_set / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)


def params(benchmarks: dict[str, dict[str, str]]) -> dict:
    """The part of params.yaml that the report reads."""
    return {
        "dataset": "people",
        "loss": "arcface",
        "backbone": {"name": "iresnet", "depth": 18, "width": 0.25, "embedding": 128},
        "classifier": {"spheres": 1},
        "trunk": "train",
        "schedule": "short",
        "resolutions": RESOLUTIONS,
        "heads": ["scf"],
        "test_sets": ["people"],
        "seed": 0,
        "threads": 2,
        "device": "cpu",
        "instructions": "avx2",
        "losses": {"arcface": {"margin": 0.5, "scale": 64}},
        "schedules": {"short": {"epochs": 2}},
        "descriptors": {},
        "extract": {"resampler": "pil_bilinear"},
        "benchmarks": benchmarks,
        "report": {
            "headline": {
                "pairs": {"metrics": ["accuracy"]},
                "identification": {"metrics": ["tpir@fpir=0.1"]},
                "surveillance": {"metrics": ["auc"], "row": "max+ceil"},
            },
            "faces": 3,
        },
    }


def write_training(folder: Path, name: str, **curves: list[float]) -> None:
    """The curves of the training `name`, as dvclive writes them."""
    target = folder / "metrics" / name / "plots/metrics"
    target.mkdir(parents=True, exist_ok=True)
    for metric, values in curves.items():
        lines = [f"{step}\t{value}" for step, value in enumerate(values)]
        (target / f"{metric}.tsv").write_text("\n".join([f"step\t{metric}", *lines, ""]))


def write_project(folder: Path, images: list[np.ndarray] | None = None) -> None:
    """A whole project: params.yaml and all that the stage report reads."""
    if images is None:
        random = np.random.default_rng(0)
        images = list(random.integers(0, 255, (8, 16, 16, 3), dtype=np.uint8))
    write_images(folder, "people", images)
    write_verification(folder, "people_pairs", 1)
    write_identification(folder, "people_1toN", 2)
    write_surveillance(folder, "people_native", 3)
    write_training(folder, "train", loss=[8.0, 4.0, 2.0], cosine=[0.1, 0.5, 0.7])
    write_training(folder, "distill/7", loss=[9.0, 5.0], feature=[3.0, 1.0])
    benchmarks = {
        "people_pairs": {"protocol": "pairs", "dataset": "people"},
        "people_1toN": {"protocol": "identification", "dataset": "people"},
        "people_native": {"protocol": "surveillance", "dataset": "people"},
    }
    (folder / "params.yaml").write_text(json.dumps(params(benchmarks)))
