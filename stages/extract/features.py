"""Feature folders: raw float32 arrays, one row an image or a template."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0

from stages.core.errors import InputError
from stages.core.index import read_index, read_table
from stages.core.params import Section, read_params, section
from stages.descriptors._pooling import Templates

MODEL = "model.json"  # of a folder: what computed it


def save(folder: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Add arrays and `model.json` to a folder that an `atomic_folder` keeps."""
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values, np.float32))
    (folder / MODEL).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


class FeatureWriter:
    """Writes the arrays of one model batch by batch, in the memory of one batch.

    The files are, to the byte, what `save` writes of all batches together.

    Args:
        folder: in one of `atomic_folder`; it is made where it is missing.
        rows: number of rows of each array, all batches together.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._rows = rows
        self._names: set[str] = set()

    def append(self, arrays: dict[str, np.ndarray]) -> None:
        """Write the next rows of arrays, by name."""
        for name, values in arrays.items():
            values = np.ascontiguousarray(values, "<f4")
            with open(self._path(name), "ab") as file:
                if name not in self._names:
                    shape = (self._rows, *values.shape[1:])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    write_array_header_1_0(file, header)
                    self._names.add(name)
                file.write(values.data)

    def arrays(self) -> dict[str, np.ndarray]:
        """What was written, by memory map, once all rows are there."""
        return {name: np.load(self._path(name), mmap_mode="r") for name in self._names}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"


def settings_of(image_set: str, *descriptors: ModuleType) -> dict[str, Section]:
    """Settings by which each module, by its name, describes templates; none for a set without."""
    if not descriptors or not _templates(image_set).is_file():
        return {}
    params = read_params()
    names = {module.__name__.rpartition(".")[2]: module.Params for module in descriptors}
    return {name: section(f"descriptors.{name}", kind, params) for name, kind in names.items()}


def _templates(image_set: str) -> Path:
    """The list of templates. Raise InputError if the set was not unpacked."""
    path = Path("data/unpack") / image_set / "tables" / "templates.parquet"
    if not path.parent.is_dir():
        raise InputError(path.parent, "no such folder", f"run the stage unpack of {image_set}")
    return path


def set_descriptors(
    image_set: str, features: dict[str, np.ndarray], *descriptors: ModuleType, told: Any = None
) -> dict[str, np.ndarray]:
    """`descriptor_<name>` [templates, d] by each module; nothing for a set without templates.

    Modules that have a `confidence` add that of each template, `fused_<name>`.

    Args:
        image_set: name of the set.
        features: embedding, mirrored, norm.
        descriptors: modules of stages/descriptors, with settings in `descriptors.<name>`.
        told: what a head says of the images, or its way of describing sets, for those that need it.
    """
    chosen = settings_of(image_set, *descriptors)
    if not chosen:
        return {}
    record = read_index(Path("data/align") / image_set / "index.parquet").record
    templates = Templates.of(read_table(_templates(image_set)), record)
    vectors = features["embedding"], features["mirrored"], templates
    rows = {}
    for descriptor, (name, settings) in zip(descriptors, chosen.items(), strict=True):
        described = descriptor.describe(*vectors, features["norm"], told, settings)
        rows[f"descriptor_{name}"] = described[1]
        if hasattr(descriptor, "confidence"):
            fused, confidence = descriptor.confidence(*vectors, told, settings)
            rows[fused] = confidence
    return rows
