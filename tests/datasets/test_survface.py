"""QMUL-SurvFace: its MATLAB lists, its folders, and lists that lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from stages.core.errors import InputError
from stages.datasets.survface import Params, read
from tests.datasets.samples import jpeg, png, write

TESTS = "Face_Identification_Test_Set"


def cells(names: list[str]) -> np.ndarray:
    array = np.empty((len(names), 1), object)
    array[:, 0] = names
    return array


def write_list(tests: Path, role: str, names: list[str], ids: list[int], dtype=np.uint16) -> Path:
    path = tests / f"{role}_img_ID_pairs.mat"
    column = np.array(ids, dtype)[:, None]
    savemat(path, {f"{role}_set": cells(names), f"{role}_ids": column})
    return path


def data_set(root: Path) -> Path:
    tests = root / TESTS
    images = ["gallery/a.jpg", "gallery/b.jpg", "gallery/c.png"]
    images += [
        "mated_probe/p.jpg",
        "mated_probe/q.jpg",
        "unmated_probe/z.jpg",
        "unmated_probe/y.jpg",
    ]
    for n, name in enumerate(images):
        write(tests / name, (png if name.endswith("png") else jpeg)(n, 10 + n, 12 + n))
    write(tests / "unmated_probe" / "Thumbs.db", "no image")
    write_list(tests, "gallery", ["b.jpg", "a.jpg", "c.png"], [5, 3, 5])
    write_list(tests, "mated_probe", ["q.jpg", "p.jpg"], [3, 5])
    return root


def test_images_and_table(tmp_path: Path) -> None:
    source = read(data_set(tmp_path), Params())
    names = [record.name for record in source.records]
    assert names == [
        "gallery/b.jpg",
        "gallery/a.jpg",
        "gallery/c.png",
        "mated_probe/q.jpg",
        "mated_probe/p.jpg",
        "unmated_probe/y.jpg",
        "unmated_probe/z.jpg",
    ]
    payloads = [(tmp_path / TESTS / name).read_bytes() for name in names]
    assert [record.payload for record in source.records] == payloads
    table = source.tables["surveillance"]
    assert table["record"].tolist() == list(range(7))
    assert table["role"].tolist() == ["gallery"] * 3 + ["mated"] * 2 + ["unmated"] * 2
    assert table["subject"].tolist() == [5, 3, 5, 3, 5, -1, -1]
    assert table["subject"].dtype == np.int64


def test_subjects_keep_their_ids_whatever_their_order(tmp_path: Path) -> None:
    """Numbering by a running counter, as the published evaluation does, is right for lists that
    are grouped by subject only: it makes [5, 5, 3, 3, 5, 9, 3] three subjects in wrong places."""
    tests = data_set(tmp_path) / TESTS
    ids = [5, 5, 3, 3, 5, 9, 3]
    write_list(tests, "gallery", ["a.jpg"] * 7, ids)

    seen, counter, renumbered = set(), -1, []
    for subject in ids:
        counter += subject not in seen
        seen.add(subject)
        renumbered.append(counter)
    assert renumbered == [0, 0, 1, 1, 1, 2, 2]
    assert read(tmp_path, Params()).tables["surveillance"]["subject"][:7].tolist() == ids


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_ids_of_matlabs_types(tmp_path: Path, dtype: type) -> None:
    write_list(data_set(tmp_path) / TESTS, "mated_probe", ["q.jpg", "p.jpg"], [3, 5], dtype)
    assert read(tmp_path, Params()).tables["surveillance"]["subject"][3:5].tolist() == [3, 5]


def fault(root: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        list(read(root, Params()).records)
    return caught.value


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "../mated_probe/p.jpg"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    tests = data_set(tmp_path) / TESTS
    write(tmp_path / "secret.jpg", jpeg(0))
    path = write_list(tests, "gallery", ["a.jpg", name], [1, 2])
    error = fault(tmp_path)
    assert (error.file, error.record) == (str(path), "entry 2")
    assert "leads out of" in error.problem
    assert "inside that folder" in error.remedy


@pytest.mark.parametrize(
    "variables",
    [
        {"gallery_set": cells(["a.jpg"])},
        {"gallery_ids": np.array([1])},
        {"gallery_set": cells(["a.jpg", "b.jpg"]), "gallery_ids": np.array([1])},
        {"gallery_set": cells(["a.jpg"]), "gallery_ids": np.array([1.5])},
        {"gallery_set": cells(["a.jpg"]), "gallery_ids": np.array([-1])},
        {"gallery_set": cells(["a.jpg"]), "gallery_ids": np.array([np.nan])},
        {"gallery_set": cells(["a.jpg"]), "gallery_ids": cells(["one"])},
        {"gallery_set": cells([np.zeros((0, 0))]), "gallery_ids": np.array([1])},
    ],
)
def test_a_list_without_what_it_must_hold(tmp_path: Path, variables: dict) -> None:
    path = data_set(tmp_path) / TESTS / "gallery_img_ID_pairs.mat"
    savemat(path, variables)
    error = fault(tmp_path)
    assert error.file == str(path)
    assert "qmul-survface" in error.remedy


@pytest.mark.parametrize(
    "content", [b"", b"junk" * 99, b"MATLAB 7.3 MAT-file" + bytes(105) + b"\0\2IM"]
)
def test_a_list_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = data_set(tmp_path) / TESTS / "mated_probe_img_ID_pairs.mat"
    path.write_bytes(content)
    error = fault(tmp_path)
    assert error.file == str(path)
    assert ("-v7" if b"7.3" in content else "qmul-survface") in error.remedy


def test_a_list_cut_short(tmp_path: Path) -> None:
    path = data_set(tmp_path) / TESTS / "gallery_img_ID_pairs.mat"
    path.write_bytes(path.read_bytes()[:-30])
    assert fault(tmp_path).file == str(path)


def test_missing_parts_say_what_belongs_there(tmp_path: Path) -> None:
    assert "QMUL-SurvFace" in fault(tmp_path / "nowhere").remedy
    data_set(tmp_path)
    (tmp_path / TESTS / "gallery" / "a.jpg").unlink()
    error = fault(tmp_path)
    assert error.record == "entry 2"
    assert "a.jpg" in error.problem
    for file in (tmp_path / TESTS / "unmated_probe").iterdir():
        file.unlink()
    (tmp_path / TESTS / "unmated_probe").rmdir()
    assert "unmated_probe" in fault(tmp_path).file
