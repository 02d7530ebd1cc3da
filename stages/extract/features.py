"""Feature folders: raw float32 arrays, one row an image or a template."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.files import atomic_folder
from stages.core.index import read_index, read_table


def write_features(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write each array as folder/<name>.npy, whole or not at all."""
    with atomic_folder(folder) as scratch:
        for name, values in arrays.items():
            np.save(scratch / f"{name}.npy", np.ascontiguousarray(values, np.float32))


def set_descriptors(
    image_set: str, names: list[str], features: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """`descriptor_<name>` [templates, d] for each of `names`; empty for a set without templates.

    Images that align left out are dropped from their templates.
    """
    path = Path("data/unpack") / image_set / "tables" / "templates.parquet"
    if not path.is_file():
        return {}
    aligned = read_index(Path("data/align") / image_set / "index.parquet").record
    templates = read_table(path)
    raise NotImplementedError
