"""Where the numbers come from: choices, seeds, data by their hash, the model's input contract.

Nothing here depends on when or at which revision the report was made, so that equal inputs give an
equal report; the revision of a result is the commit whose dvc.lock names it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from stages.core.errors import InputError
from stages.core.weights import read_header

ALIGNED = Path("data/align")
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
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _contract(weights: Path) -> list[tuple[str, str]]:
    if not weights.is_file():
        return []
    header = read_header(weights)
    return [(f"{weights.parent}: {name}", _text(value)) for name, value in sorted(header.items())]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
