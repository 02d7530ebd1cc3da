"""MagFace's lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.datasets.list import Params, read
from tests.datasets.samples import jpeg, write


def listed(folder: Path, text: str, images: int = 3) -> Path:
    for n in range(images):
        write(folder / "faces" / f"{n}.jpg", jpeg(n))
    return write(folder / "train.list", text)


def test_columns_one_and_three_count(tmp_path: Path) -> None:
    root = listed(tmp_path, "faces/2.jpg 0 1 0\nfaces/0.jpg 0 0 0\n\nfaces/1.jpg 9 12 9\n")
    records = list(read(root, Params()).records)
    assert [(r.name, r.label) for r in records] == [
        ("faces/2.jpg", 1),
        ("faces/0.jpg", 0),
        ("faces/1.jpg", 12),
    ]
    assert [r.payload for r in records] == [jpeg(2), jpeg(0), jpeg(1)]


def test_a_list_of_paths_alone(tmp_path: Path) -> None:
    root = listed(tmp_path, "faces/1.jpg\nfaces/0.jpg \n")
    assert [r.label for r in read(root, Params()).records] == [UNKNOWN_LABEL] * 2


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    listed(tmp_path, "")
    root = write(tmp_path / "lists" / "a.list", "0.jpg 0 0 0\n")
    assert [r.payload for r in read(root, Params(images="../faces")).records] == [jpeg(0)]
    absolute = tmp_path / "faces" / "1.jpg"
    root.write_text(f"{absolute} 0 0 0\n")
    assert [r.payload for r in read(root, Params(images="../faces")).records] == [jpeg(1)]


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "faces/../../secret.jpg", "/etc/passwd", ".", "faces/..", "..", "a\0b.jpg"],
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret.jpg", jpeg(0))
    root = listed(tmp_path / "set", f"faces/0.jpg 0 0 0\n{name} 0 1 0\n")
    with pytest.raises(InputError) as caught:
        read(root, Params())
    assert caught.value.record == "line 2"
    assert "leads out of" in caught.value.problem
    assert "inside that folder" in caught.value.remedy


@pytest.mark.parametrize(
    "line", ["faces/a b.jpg 0 1 0", "faces/0.jpg 0 x 0", "faces/0.jpg 0 -1 0", "faces/0.jpg 1"]
)
def test_a_malformed_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError) as caught:
        read(listed(tmp_path, f"faces/0.jpg 0 0 0\n{line}\n"), Params())
    assert caught.value.record == "line 2"
    assert "path 0 label 0" in caught.value.problem
    assert "no spaces" in caught.value.remedy


def test_a_missing_image(tmp_path: Path) -> None:
    source = read(listed(tmp_path, "faces/0.jpg 0 0 0\nfaces/7.jpg 0 1 0\n"), Params())
    with pytest.raises(InputError) as caught:
        list(source.records)
    assert caught.value.record == "line 2"
    assert "7.jpg" in caught.value.problem
    assert "add that image" in caught.value.remedy


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    source = read(listed(tmp_path, "faces/0.jpg 0 0 0\nothers/7.jpg 0 1 0\n"), Params())
    with pytest.raises(InputError) as caught:
        list(source.records)
    assert f"add the folder {tmp_path}" in caught.value.remedy
    assert "others" in caught.value.remedy


def test_missing_or_empty(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere.list", tmp_path, write(tmp_path / "empty.list", "\n")):
        with pytest.raises(InputError) as caught:
            read(root, Params())
        assert "MagFace" in caught.value.remedy


@pytest.mark.parametrize("label", [str(2**31), "9" * 5000])
def test_labels_that_no_classifier_could_have(tmp_path: Path, label: str) -> None:
    write(tmp_path / "list.txt", f"a.jpg 0 {label} 0\n")
    with pytest.raises(InputError, match="labels count from 0"):
        read(tmp_path / "list.txt", Params())
