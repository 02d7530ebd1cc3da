"""What every reader gives: the names of its images, also without reading them."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.params import choices
from stages.datasets import bin, folder, ijb, list, megaface, recordio, survface, tinyface
from stages.datasets._source import Record, Records, Source
from tests.datasets import (
    test_folder,
    test_ijb,
    test_list,
    test_megaface,
    test_recordio,
    test_survface,
    test_tinyface,
)
from tests.datasets.samples import jpeg


def pack(root: Path) -> Source:
    path = root / "a.bin"
    path.write_bytes(pickle.dumps(([jpeg(0), jpeg(1), jpeg(0), jpeg(2)], [True, False])))
    return bin.read(path, bin.Params())


SETS: dict[str, Callable[[Path], Source]] = {
    "bin": pack,
    "folder": lambda root: folder.read(test_folder.people(root, ["a", "b"]), folder.Params()),
    "ijb": lambda root: ijb.read(test_ijb.release(root), ijb.Params()),
    "list": lambda root: list.read(
        test_list.listed(root, "faces/0.jpg 0 1 0\nfaces/2.jpg 0 0 0\n"), list.Params()
    ),
    "megaface": lambda root: megaface.read(test_megaface.release(root), megaface.Params()),
    "recordio": lambda root: recordio.read(
        test_recordio.insightface(root, [0, 1, 2]), recordio.Params()
    ),
    "survface": lambda root: survface.read(test_survface.data_set(root), survface.Params()),
    "tinyface": lambda root: tinyface.read(test_tinyface.release(root), tinyface.Params()),
}


@pytest.mark.parametrize("name", choices("datasets"))
def test_names_are_those_of_the_records(tmp_path: Path, name: str) -> None:
    records = SETS[name](tmp_path).records
    expected = [record.name for record in records]
    assert len(expected) == len(records) > 1
    for _ in range(2):
        assert records.names() == expected
    if name not in ("bin", "recordio"):  # whose images are in the file itself
        for image in [*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.png")]:
            image.unlink()
        shutil.rmtree(tmp_path / "loose_crop", ignore_errors=True)
        assert records.names() == expected


def test_names_of_a_reader_that_gives_none() -> None:
    """One of a user's own: its records are read."""
    records = Records(2, lambda: iter([Record("a", 0, b""), Record("b", 0, b"")]))
    assert records.names() == ["a", "b"]
