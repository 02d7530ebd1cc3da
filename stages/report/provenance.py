"""Where the numbers come from: choices, seeds, data by their hash, the model's input contract.

Nothing here depends on when or at which revision the report was made, so that equal inputs give an
equal report; the revision of a result is the commit whose dvc.lock names it.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.index import Index, read_index
from stages.core.weights import read_header

ALIGNED = Path("data/align")
METRICS = Path("metrics/evaluate")
PROBES = "facescrub_images"  # folder of MegaFace's people
MODELS = Path("models")
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
    "extract",
    "descriptors",
)


def provenance(params: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, value) lines: the choices of params.yaml, one hash an image set, the contract."""
    lines = [(name, _text(params[name])) for name in CHOICES if name in params]
    for section in ("losses", "schedules"):
        name = params["loss" if section == "losses" else "schedule"]
        settings = params.get(section, {}).get(name)
        if settings is not None:
            lines.append((f"{section}.{name}", _text(settings)))
    for name in dict.fromkeys([params["dataset"], *params["test_sets"]]):
        lines.append((f"images of {name}", f"index sha256 {index_hash(name)}"))
    return lines + _contract(MODELS / params["trunk"] / "weights.safetensors")


def index_hash(image_set: str) -> str:
    """SHA-256 of the aligned index of a set, which holds the SHA-1 of each image."""
    path = ALIGNED / image_set / "index.parquet"
    if not path.is_file():
        raise InputError(path, "file not found", f"run the stage align of {image_set}")
    return sha256(path)


def measured_from(benchmark: str) -> list[tuple[str, str]]:
    """(what, value) lines of one benchmark: its data by their hashes, options, seed, replicates,
    and each model by its weights' hash, with what it is fed and was trained on."""
    path = METRICS / f"{benchmark}.intervals.json"
    try:
        given = json.loads(path.read_text())["provenance"]
    except (OSError, ValueError, KeyError):
        remedy = "run the stage evaluate of this benchmark"
        raise InputError(path, "no provenance there", remedy) from None
    models = given.pop("models", {}).items()
    lines = [(name, _text(value)) for name, value in given.items()]
    return lines + [(f"model {name}", _text(value)) for name, value in models]


def overlaps(params: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, value) lines: what each test set shares with the training set.

    Images are the same if their bytes are, people if both sets name them: a folder a person.
    Of an imported trunk the images are not there to be compared.
    """
    train = params["dataset"]
    trained_on = _trained_on(params)
    if trained_on not in (None, f"{train} {index_hash(train)}"):
        text = "not known: the images that the trunk has learnt are not here"
        return [(f"shared by {trained_on} and {name}", text) for name in params["test_sets"]]
    images, people = _images(train), _people(train, params)
    lines = []
    for name in params["test_sets"]:
        shared = len(images & _images(name))
        text = f"{shared} images" if shared else "no image"
        named = _people(name, params)
        if people is None or named is None:
            text += "; people are not known by name"
        else:
            text += f"; {len(people & named)} of {len(named)} people of {name}"
        lines.append((f"shared by {train} and {name}", text))
    return lines


def _images(image_set: str) -> set[str]:
    return set(_index(image_set).sha1.tolist())


def _trained_on(params: dict[str, Any]) -> str | None:
    """What the trunk's input contract says of its training set; None without a trunk."""
    weights = MODELS / params["trunk"] / "weights.safetensors"
    return read_header(weights)["contract"]["training_data"] if weights.is_file() else None


def _people(image_set: str, params: dict[str, Any]) -> set[str] | None:
    """Names of the folders of a person; None where folders are not known to be people."""
    index, entry = _index(image_set), params.get("datasets", {}).get(image_set, {})
    folders = [PurePosixPath(source).parent for source in index.source.tolist()]
    match entry.get("format"):
        case "folder":
            return {folder.name for folder in folders}
        case "megaface":  # the celebrities; distractors are nobody's
            return {folder.name for folder in folders if folder.parts[:1] == (PROBES,)}
        case "list":
            classes = {*zip(index.label.tolist(), folders, strict=True)}
            labels = {label for label, _ in classes}
            one_to_one = len(classes) == len(labels) == len({*folders})
            return {folder.name for folder in folders} if one_to_one else None
    return None


def _index(image_set: str) -> Index:
    return read_index(ALIGNED / image_set / "index.parquet")


def _contract(weights: Path) -> list[tuple[str, str]]:
    if not weights.is_file():
        return []
    header = read_header(weights)
    return [(f"{weights.parent}: {name}", _text(value)) for name, value in sorted(header.items())]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
