"""QMUL's way to name people: a MATLAB list of files and identities beside a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.errors import InputError
from stages.datasets._files import SUFFIXES, refuse_outside
from stages.datasets._mat import load_mat

LAST_SUBJECT = 2**53  # past it, not every whole number is a float


class File(NamedTuple):
    """An image by its name below the folder of all images, and who names it."""

    name: str
    listing: Path
    record: str


def listed_images(
    path: Path, role: str, folder: Path, origin: str
) -> tuple[list[File], np.ndarray]:
    """Files of `folder` and their subjects, int64, by the cell array `<role>_set` and `<role>_ids`.

    Raise InputError if the list is missing or malformed, or a name leads out of `folder`.
    """
    variables = load_mat(path, origin)
    names, ids = variables.get(f"{role}_set"), variables.get(f"{role}_ids")
    if not (isinstance(names, list) and all(isinstance(name, str) and name for name in names)):
        raise InputError(path, f"no cell array {role}_set of file names", origin)
    if not isinstance(ids, np.ndarray) or len(names) != len(ids):
        raise InputError(path, f"no array {role}_ids of {len(names)} subjects", origin)
    if not ((ids >= 0) & (ids < LAST_SUBJECT) & (ids == np.floor(ids))).all():
        raise InputError(path, f"{role}_ids are not whole numbers from 0", origin)
    files = [File(f"{folder.name}/{name}", path, f"entry {n}") for n, name in enumerate(names, 1)]
    for name, file in zip(names, files, strict=True):
        refuse_outside(folder, name, path, file.record)
    return files, ids.astype(np.int64)


def found_images(folder: Path, origin: str) -> list[File]:
    """The images in `folder` by name. Raise InputError if there is no such folder."""
    if not folder.is_dir():
        raise InputError(folder, "folder not found", origin)
    there = (f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    names = sorted(f.name for f in there if f.suffix.lower() in SUFFIXES)
    return [File(f"{folder.name}/{name}", folder, name) for name in names]
