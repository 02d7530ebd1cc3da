"""A folder of people packed, then read as the training pack that it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from stages.datasets import folder, recordio
from stages.datasets._rec import Reader, unpack

PEOPLE = {"anna": 3, "bela": 1, "cleo": 2}


def _people(root: Path) -> None:
    rng = np.random.default_rng(0)
    for person, images in PEOPLE.items():
        (root / person).mkdir(parents=True)
        for number in range(images):
            face = rng.integers(0, 256, (17, 13, 3), np.uint8)
            cv2.imwrite(str(root / person / f"{number}.jpg"), face)


def _pack(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "stages.unpack.pack", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_pack_holds_the_bytes_and_classes_of_the_folder(tmp_path: Path) -> None:
    _people(tmp_path / "people")
    done = _pack(tmp_path / "people", tmp_path / "pack")
    assert (done.returncode, done.stderr) == (0, "")
    packed = recordio.read(tmp_path / "pack", recordio.Params()).records
    shipped = folder.read(tmp_path / "people", folder.Params()).records
    assert [(r.label, bytes(r.payload)) for r in packed] == [
        (r.label, bytes(r.payload)) for r in shipped
    ]
    assert (tmp_path / "pack/property").read_text() == "3,112,112\n"
    header, _ = unpack(Reader(tmp_path / "pack/train.rec")[8])
    assert header.label.tolist() == [4, 5]  # images of bela


def test_pack_that_exists_is_left_alone(tmp_path: Path) -> None:
    _people(tmp_path / "people")
    (tmp_path / "pack").mkdir()
    done = _pack(tmp_path / "people", tmp_path / "pack")
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert list((tmp_path / "pack").iterdir()) == []


def test_missing_folder_leaves_nothing(tmp_path: Path) -> None:
    done = _pack(tmp_path / "people", tmp_path / "pack")
    assert done.returncode == 1
    assert "folder not found" in done.stderr
    assert not (tmp_path / "pack").exists()
