"""Small made-up sets, features and lists for the tests of protocols."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.index import IN_OWN_FILE, UNKNOWN_LABEL, Index
from stages.protocols._bootstrap import Resampling
from stages.protocols._rows import Rows
from stages.protocols._tables import Tables

RESAMPLING = Resampling(replicates=200, seed=1)


def index(count: int, **columns: np.ndarray) -> Index:
    """An aligned index of `count` distinct images."""
    given = {
        "path": np.array([f"images/{k}.jpg" for k in range(count)], object),
        "offset": np.full(count, IN_OWN_FILE),
        "length": np.full(count, 1),
        "label": np.full(count, UNKNOWN_LABEL),
        "width": np.full(count, 112),
        "height": np.full(count, 112),
        "sha1": np.array([f"{k:040x}" for k in range(count)], object),
        "source": np.array([f"image {k}" for k in range(count)], object),
        "record": np.arange(count),
        "landmarks": np.full((count, 10), np.nan, np.float32),
    }
    return Index(**given | columns)


def tables(**lists: dict[str, np.ndarray]) -> Tables:
    return Tables(Path("data/unpack/made/tables"), lists)


def rows(arrays: dict[str, np.ndarray], **changes: dict) -> Rows:
    """Rows over arrays named `model/array`; one setting 112&112 of the trunk unless changed."""

    def read(model: str, name: str) -> np.ndarray:
        return arrays[f"{model}/{name}"]

    plain = {
        "settings": {"112&112": ("trunk", "trunk")},
        "sizes": {112: "trunk"},
        "upsampled": {},
        "descriptors": {},
        "heads": {},
    }
    return Rows(read=read, **plain | changes)


def faces(
    random: np.random.Generator, person: np.ndarray, noise: float, dimensions: int = 16
) -> np.ndarray:
    """Embeddings of images of people: a centre each, plus noise; float32 [images, d]."""
    centres = random.normal(size=(person.max() + 1, dimensions))
    spread = noise * random.normal(size=(len(person), dimensions))
    return (centres[person] + spread).astype(np.float32)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """All cosines, one at a time, float64 [n, m]."""
    return np.array(
        [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in second] for a in first], float
    )
