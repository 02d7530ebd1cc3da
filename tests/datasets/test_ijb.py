"""IJB: images, templates, pairs, galleries and probes, and lists that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.datasets.ijb import Params, read
from tests.datasets.samples import jpeg, write

POINTS = [[30.5 + n, 51, 65, 50, 48, 71, 33, 92, 62.25, 91] for n in range(4)]
SCORES = [0.999, 0.1, 0.5, 1.0]


def release(root: Path, name: str = "ijbc", galleries: tuple[str, str] = ("G1", "G2")) -> Path:
    lines = [
        f"{n + 1}.jpg {' '.join(f'{v:.3f}' for v in POINTS[n])} {SCORES[n]}\n" for n in range(4)
    ]
    write(root / "meta" / f"{name}_name_5pts_score.txt", "".join(lines))
    members = "1.jpg 10 5\n2.jpg 10 5\n3.jpg 7 1\n4.jpg 99 2\n1.jpg 99 3\n"
    write(root / "meta" / f"{name}_face_tid_mid.txt", members)
    write(root / "meta" / f"{name}_template_pair_label.txt", "10 7 0\n10 99 1\n")
    head = "TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X\n"
    rows = ["7,2,a.png,1\n7,2,b.png,1\n", '99,1,"a name, quoted.png",1\n']
    for gallery, row in zip(galleries, rows, strict=True):
        write(root / "meta" / f"{name}_1N_gallery_{gallery}.csv", head + row)
    probes = "10,1,x.png,0\n7,2,y.png,0\n10,1,z.png,0\n"
    write(root / "meta" / f"{name}_1N_probe_mixed.csv", head + probes)
    for n in range(4):
        write(root / "loose_crop" / f"{n + 1}.jpg", jpeg(n))
    return root


@pytest.mark.parametrize(
    ("name", "galleries"), [("ijbc", ("G1", "G2")), ("ijbb", ("S1", "S2")), ("mine", ("G1", "G2"))]
)
def test_images_and_tables(tmp_path: Path, name: str, galleries: tuple[str, str]) -> None:
    source = read(release(tmp_path, name, galleries), Params())
    records = list(source.records)
    assert len(source.records) == 4
    assert [record.payload for record in records] == [jpeg(n) for n in range(4)]
    assert records[2].name == "loose_crop/3.jpg"
    np.testing.assert_array_equal([r.landmarks for r in records], np.float32(POINTS))
    expected = {
        "templates": {
            "record": [0, 1, 2, 3, 0],
            "template": [10, 10, 7, 99, 99],
            "media": [5, 5, 1, 2, 3],
            "score": np.float32([0.999, 0.1, 0.5, 1.0, 0.999]),
        },
        "template_pairs": {"first": [10, 10], "second": [7, 99], "same": [False, True]},
        "galleries": {"gallery": list(galleries), "template": [7, 99], "subject": [2, 1]},
        "probes": {"template": [10, 7], "subject": [1, 2]},
    }
    assert source.tables.keys() == expected.keys()
    for table, columns in expected.items():
        assert source.tables[table].keys() == columns.keys()
        for column, values in columns.items():
            np.testing.assert_array_equal(source.tables[table][column], values)
    assert source.tables["templates"]["score"].dtype == np.float32
    assert source.tables["templates"]["record"].dtype == np.int64
    assert source.tables["template_pairs"]["same"].dtype == bool


def test_without_the_lists_for_identification_there_are_no_such_tables(tmp_path: Path) -> None:
    for path in release(tmp_path).glob("meta/*_1N_*"):
        path.unlink()
    source = read(tmp_path, Params())
    assert source.tables.keys() == {"templates", "template_pairs"}
    assert source.absent.keys() == {"galleries", "probes"}


def fault(root: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        list(read(root, Params()).records)
    return caught.value


def test_without_the_list_for_verification_there_is_no_such_table(tmp_path: Path) -> None:
    (release(tmp_path) / "meta/ijbc_template_pair_label.txt").unlink()
    source = read(tmp_path, Params())
    assert source.tables.keys() == {"templates", "galleries", "probes"}
    file, origin = source.absent["template_pairs"]
    assert file == str(tmp_path / "meta/*_template_pair_label.txt")
    assert "insightface" in origin


@pytest.mark.parametrize("lost", ["gallery_*", "probe_mixed", "*"])
def test_neither_verification_nor_identification(tmp_path: Path, lost: str) -> None:
    (release(tmp_path) / "meta/ijbc_template_pair_label.txt").unlink()
    for path in tmp_path.glob(f"meta/*_1N_{lost}.csv"):
        path.unlink()
    error = fault(tmp_path)
    assert "template_pair_label" in error.file
    assert "1:N" in error.problem


@pytest.mark.parametrize("what", ["name_5pts_score", "face_tid_mid"])
def test_a_missing_list_says_what_it_is_and_where_it_comes_from(tmp_path: Path, what: str) -> None:
    (release(tmp_path) / "meta" / f"ijbc_{what}.txt").unlink()
    error = fault(tmp_path)
    assert what in error.file
    assert "insightface" in error.remedy
    assert "(" in error.problem


@pytest.mark.parametrize(
    ("galleries", "lost"), [(("G1", "G2"), "G2"), (("G1", "G2"), "G1"), (("S1", "S2"), "S1")]
)
def test_one_gallery_of_a_pair(tmp_path: Path, galleries: tuple[str, str], lost: str) -> None:
    path = release(tmp_path, galleries=galleries) / f"meta/ijbc_1N_gallery_{lost}.csv"
    path.unlink()
    error = fault(tmp_path)
    assert error.file == str(path)
    assert "insightface" in error.remedy


def test_a_set_of_one_gallery(tmp_path: Path) -> None:
    release(tmp_path)
    (tmp_path / "meta/ijbc_1N_gallery_G1.csv").unlink()
    (tmp_path / "meta/ijbc_1N_gallery_G2.csv").rename(tmp_path / "meta/ijbc_1N_gallery_all.csv")
    assert read(tmp_path, Params()).tables["galleries"]["gallery"].tolist() == ["all"]


def test_the_folder_of_the_lists_for_the_root(tmp_path: Path) -> None:
    error = fault(release(tmp_path) / "meta")
    assert error.file == str(tmp_path / "meta")
    assert "give the folder that holds meta/" in error.remedy


def test_two_releases_in_one_folder(tmp_path: Path) -> None:
    release(release(tmp_path, "ijbc"), "ijbb")
    assert "there are 2 such files" in fault(tmp_path).problem


def test_a_missing_image(tmp_path: Path) -> None:
    (release(tmp_path) / "loose_crop" / "3.jpg").unlink()
    error = fault(tmp_path)
    assert error.record == "line 3"
    assert "3.jpg" in error.problem


def test_no_image_at_all(tmp_path: Path) -> None:
    """The lists are read without: embeddings from elsewhere need no image."""
    (release(tmp_path) / "loose_crop").rename(tmp_path / "crops")
    assert len(read(tmp_path, Params()).records) == 4
    error = fault(tmp_path)
    assert (error.file, error.record) == (str(tmp_path / "loose_crop"), None)
    assert "insightface" in error.remedy


@pytest.mark.parametrize(
    ("file", "old", "new", "record", "problem"),
    [
        ("ijbc_name_5pts_score.txt", "2.jpg", "../2.jpg", "line 2", "leads out of"),
        ("ijbc_name_5pts_score.txt", "2.jpg", "/etc/passwd", "line 2", "leads out of"),
        ("ijbc_name_5pts_score.txt", "2.jpg", "1.jpg", "line 1", "comes again in line 2"),
        ("ijbc_name_5pts_score.txt", "0.1\n", "x\n", "line 2", "invalid value"),
        ("ijbc_name_5pts_score.txt", "0.1\n", "0.1 7\n", "line 2", "Expected 12 columns"),
        ("ijbc_face_tid_mid.txt", "3.jpg 7", "9.jpg 7", "line 3", "no line in the landmark list"),
        ("ijbc_face_tid_mid.txt", "3.jpg 7", "3.jpg 7.5", "line 3", "invalid value"),
        ("ijbc_template_pair_label.txt", "10 99 1", "10 99 2", "line 2", "2 is no label"),
        ("ijbc_template_pair_label.txt", "10 99 1", "10 98 1", "line 2", "98 is a template"),
        ("ijbc_template_pair_label.txt", "10 99 1", "11 99 1", "line 2", "11 is a template"),
        ("ijbc_1N_gallery_G1.csv", "7,2,b", "7,3,b", "line 3", "3 is a second subject"),
        ("ijbc_1N_gallery_G2.csv", "99,1", "98,1", "line 2", "98 is a template"),
        ("ijbc_1N_probe_mixed.csv", "7,2", "NA,2", "line 3", "invalid value 'NA'"),
        ("ijbc_1N_probe_mixed.csv", "7,2", "7,-1", "line 3", "-1 is no number of a person"),
    ],
)
def test_lists_that_are_wrong(
    tmp_path: Path, file: str, old: str, new: str, record: str, problem: str
) -> None:
    path = release(tmp_path) / "meta" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    error = fault(tmp_path)
    assert (error.file, error.record) == (str(path), record)
    assert problem in error.problem
    assert error.remedy


@pytest.mark.parametrize("content", ["", "1.jpg\n", "1.jpg 3\n", "\xff\xfe\0"])
def test_a_list_that_is_none(tmp_path: Path, content: str) -> None:
    path = release(tmp_path) / "meta" / "ijbc_face_tid_mid.txt"
    path.write_text(content)
    assert fault(tmp_path).file == str(path)
