"""Where the numbers come from: choices, seeds, data by their hash, the model's input contract.

Nothing here depends on when or at which revision the report was made, so that equal inputs give an
equal report; the revision of a result is the commit whose dvc.lock names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.weights import read_header
from stages.report.overlap import counts

ALIGNED = Path("data/align")
METRICS = Path("metrics/evaluate")
FEATURES = Path("data/features")
MODELS = Path("models")
WEIGHTS = "weights.safetensors"
TRAINED = "train"  # the trunk that this pipeline trains
CHOICES = (
    "dataset",
    "loss",
    "backbone",
    "classifier",
    "trunk",
    "schedule",
    "resolutions",
    "heads",
    "seed",
    "threads",
    "device",
    "instructions",
    "extract",
    "descriptors",
)


def provenance(params: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, value) lines: the choices of params.yaml that had a part in it, one hash an image set,
    the trunk's own account."""
    unused = _unused(params)
    chosen = [name for name in CHOICES if name in params and name not in unused]
    lines = [(name, _text(params[name])) for name in chosen]
    for section, choice in (("losses", "loss"), ("schedules", "schedule")):
        settings = params.get(section, {}).get(params[choice])
        if settings is not None and choice not in unused:
            lines.append((f"{section}.{params[choice]}", _text(settings)))
    sets = [*([] if "dataset" in unused else [params["dataset"]]), *params["test_sets"]]
    for name in dict.fromkeys(sets):
        lines.append((f"images of {name}", f"index sha256 {index_hash(name)}"))
    return lines + _contract(MODELS / params["trunk"] / WEIGHTS)


def _unused(params: dict[str, Any]) -> set[str]:
    """Choices without a part in the results: of how to train, where the trunk was not trained."""
    if params["trunk"] == TRAINED:
        return set()
    unused = {"backbone", "schedule"}
    if not params["resolutions"]:
        unused |= {"loss", "classifier"} | (set() if params["heads"] else {"dataset"})
    return unused


def title(params: dict[str, Any]) -> str:
    """What the report is of, in two words."""
    if params["trunk"] == TRAINED:
        return f"{params['dataset']}, {params['loss']}"
    return params["trunk"]


def summary(params: dict[str, Any]) -> str:
    """The trunk, by its own account, and its branches, in two sentences."""
    weights = MODELS / params["trunk"] / WEIGHTS
    parts, learnt = [], f"trunk {params['trunk']}"
    if weights.is_file():
        header = read_header(weights)
        network = header["network"]
        parts.append("-".join(str(network[k]) for k in ("name", "depth") if network.get(k)))
        parts += [f"width {network['width']:g}"] if "width" in network else []
        parts.append(f"{network['embedding']} dimensions")
        learnt = header["contract"]["training_data"]
    if params["trunk"] == TRAINED:
        parts.append(params["loss"])
        learnt = f"trained on {params['dataset']}"
    sides = ", ".join(str(side) for side in params["resolutions"])
    return f"{', '.join([*parts, learnt])}. Branches for {sides or 'no resolution'} px."


def outdated(
    benchmark: str, image_set: str, fingerprint: Callable[[Path], str] = sha256
) -> str | None:
    """Why the results of a benchmark are not of what is there now; None if they are.

    A run that goes on beside a stage that failed leaves such results behind.

    Args:
        fingerprint: gives the SHA-256 of a file of weights.
    """
    if not (ALIGNED / image_set / "index.parquet").is_file():
        return f"{image_set} is not aligned"
    given = measured(benchmark)
    if given["images"] != f"{image_set}, index sha256 {index_hash(image_set)}":
        return "it was evaluated on other images than are aligned now"
    for model, about in given.get("models", {}).items():
        folder, _, digest = about.get("weights", "").partition(" sha256 ")
        weights, again = Path(folder) / WEIGHTS, FEATURES / image_set / model / "model.json"
        changed = folder and weights.is_file() and fingerprint(weights) != digest
        if changed or (again.is_file() and json.loads(again.read_text()) != about):
            return f"it was evaluated before {model} was computed anew"
    return None


def index_hash(image_set: str) -> str:
    """SHA-256 of the aligned index of a set, which holds the SHA-1 of each image."""
    path = ALIGNED / image_set / "index.parquet"
    if not path.is_file():
        raise InputError(path, "file not found", f"run the stage align of {image_set}")
    return sha256(path)


def measured_from(benchmark: str) -> list[tuple[str, str]]:
    """(what, value) lines of one benchmark: its data by their hashes, options, seed, replicates,
    what it shares with training sets, and each model by its weights' hash, with what it is fed and
    was trained on."""
    given = dict(measured(benchmark))
    models, shared = given.pop("models", {}).items(), given.pop("overlap", [])
    lines = [(name, _text(value)) for name, value in given.items()]
    lines += [(f"shared with {entry['training_set']}", counts(entry)) for entry in shared]
    return lines + [(f"model {name}", _text(value)) for name, value in models]


def measured(benchmark: str) -> dict[str, Any]:
    """What evaluate says of the numbers of a benchmark. Raise InputError if it says nothing."""
    path = METRICS / f"{benchmark}.intervals.json"
    try:
        return json.loads(path.read_text())["provenance"]
    except (OSError, ValueError, KeyError):
        remedy = "run the stage evaluate of this benchmark"
        raise InputError(path, "no provenance there", remedy) from None


def _contract(weights: Path) -> list[tuple[str, str]]:
    if not weights.is_file():
        return []
    header = read_header(weights)
    return [(f"{weights.parent}: {name}", _text(value)) for name, value in sorted(header.items())]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
