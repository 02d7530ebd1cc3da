"""Feature folders: raw float32 arrays, one row an image or a template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0

from stages.core.errors import InputError
from stages.core.files import atomic_folder
from stages.core.index import read_index, read_table
from stages.core.params import Section, read_params, section
from stages.descriptors._pooling import Templates

MODEL = "model.json"  # of a folder: what computed it


def write_features(
    folder: Path, arrays: dict[str, np.ndarray], about: dict[str, Any] | None = None
) -> None:
    """Write each array as folder/<name>.npy, whole or not at all.

    Args:
        about: where they come from, for `model.json`.
    """
    with atomic_folder(folder) as scratch:
        _save(scratch, arrays, about)


def write_batches(
    folder: Path,
    image_set: str,
    rows: int,
    batches: Iterable[dict[str, np.ndarray]],
    *descriptors: ModuleType,
    about: dict[str, Any] | None = None,
) -> None:
    """Write what `write_features` would of all batches together, in the memory of one of them.

    Args:
        rows: of the batches together.
        batches: arrays of the same names each, the next rows of all of them.
        descriptors: as in `set_descriptors`.
        about: as in `write_features`.
    """
    with atomic_folder(folder) as scratch:
        arrays = _append(scratch, rows, batches)
        _save(scratch, set_descriptors(image_set, arrays, *descriptors), about)


def _append(
    folder: Path, rows: int, batches: Iterable[dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays written, in memory map."""
    files = {}
    with ExitStack() as stack:
        for batch in batches:
            for name, values in batch.items():
                values = np.ascontiguousarray(values, "<f4")
                if name not in files:
                    files[name] = stack.enter_context(open(folder / f"{name}.npy", "wb"))
                    shape = (rows, *values.shape[1:])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    write_array_header_1_0(files[name], header)
                files[name].write(values.data)
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in files}


def _save(folder: Path, arrays: dict[str, np.ndarray], about: dict[str, Any] | None) -> None:
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values, np.float32))
    if about is not None:
        (folder / MODEL).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


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
