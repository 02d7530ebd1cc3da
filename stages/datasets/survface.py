"""QMUL-SurvFace, open-set identification: gallery, mated and unmated probes at native sizes.

In Face_Identification_Test_Set/: gallery/, mated_probe/ and unmated_probe/ with the images;
gallery_img_ID_pairs.mat (cell array gallery_set of file names, gallery_ids) and
mated_probe_img_ID_pairs.mat (mated_probe_set, mated_probe_ids). Unmated probes are whatever lies in
their folder. Source: qmul-survface.github.io.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._files import read_image, refuse_outside
from stages.datasets._mat import load_mat
from stages.datasets._source import Record, Records, Source

TEST_SET = "Face_Identification_Test_Set"
ORIGIN = f"put QMUL-SurvFace there, with {TEST_SET}/: qmul-survface.github.io"
SUFFIXES = {".jpg", ".jpeg", ".png"}
NO_SUBJECT = -1
LAST_SUBJECT = 2**53  # past it, not every whole number is a float


class Params(Section):
    """The layout is fixed: no options."""


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """Gallery and mated probes in the order of their lists, then unmated probes by name.

    Table `surveillance`: record, role (gallery, mated, unmated), subject (-1 for unmated).

    Args:
        reader: of no consequence here.

    Raises:
        InputError: a folder or list is missing, a list is malformed, or a name leads out of its
            folder; while iterating, an image is missing.
    """
    tests = root / TEST_SET
    gallery, gallery_ids = _listed(tests, "gallery")
    mated, mated_ids = _listed(tests, "mated_probe")
    unmated = _found(tests / "unmated_probe")
    files = [*gallery, *mated, *unmated]
    counts = [len(gallery), len(mated), len(unmated)]
    surveillance = {
        "record": np.arange(len(files)),
        "role": np.repeat(["gallery", "mated", "unmated"], counts),
        "subject": np.concatenate([gallery_ids, mated_ids, np.full(len(unmated), NO_SUBJECT)]),
    }

    def record(file: File) -> Record:
        image = read_image(tests / file.name, file.listing, file.record)
        return Record(file.name, UNKNOWN_LABEL, image)

    return Source(Records(len(files), lambda: map(record, files)), {"surveillance": surveillance})


class File(NamedTuple):
    """An image by its name below the test set, and who names it."""

    name: str
    listing: Path
    record: str


def _listed(tests: Path, role: str) -> tuple[list[File], np.ndarray]:
    """Files and subjects of a list."""
    path = tests / f"{role}_img_ID_pairs.mat"
    variables = load_mat(path, ORIGIN)
    names, ids = variables.get(f"{role}_set"), variables.get(f"{role}_ids")
    if not (isinstance(names, list) and all(isinstance(name, str) and name for name in names)):
        raise InputError(path, f"no cell array {role}_set of file names", ORIGIN)
    if not isinstance(ids, np.ndarray) or len(names) != len(ids):
        raise InputError(path, f"no array {role}_ids of {len(names)} subjects", ORIGIN)
    if not ((ids >= 0) & (ids < LAST_SUBJECT) & (ids == np.floor(ids))).all():
        raise InputError(path, f"{role}_ids are not whole numbers from 0", ORIGIN)
    files = [File(f"{role}/{name}", path, f"entry {n}") for n, name in enumerate(names, 1)]
    for name, file in zip(names, files, strict=True):
        refuse_outside(tests / role, name, path, file.record)
    return files, ids.astype(np.int64)


def _found(folder: Path) -> list[File]:
    if not folder.is_dir():
        raise InputError(folder, "folder not found", ORIGIN)
    names = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    return [File(f"{folder.name}/{name}", folder, name) for name in names]
