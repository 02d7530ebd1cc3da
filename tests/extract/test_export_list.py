from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.index import write_table
from stages.extract import export_list
from tests.extract.feature_sets import read_list, write_set

# Numbers whose shortest text is longest, or of another form: every bit must come back.
NUMBERS = [1, 0, -0.0, 1e-5, 1e10, 1.5e-42, 16777216, 0.1, 1 / 3, np.pi, 3.4e18, -2.5616213e-05]


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_bit_comes_back_in_the_order_of_the_index(project):
    vectors = np.stack([np.roll(np.array(NUMBERS, np.float32), k) for k in range(4)])
    names = ["z/9.jpg", "a/1.jpg", "m/5.jpg", "b/2.jpg"]
    write_set(project, "faces", names, vectors)
    export_list.main("faces", "trunk", "lists/feat.list", "lists/quality.list")
    read, numbers = read_list(project / "lists/feat.list")
    assert read == names
    np.testing.assert_array_equal(numbers.view(np.int32), vectors.view(np.int32))
    assert (project / "lists/feat.list").read_text().splitlines()[0].endswith("e-05 ")
    qualities = (project / "lists/quality.list").read_text().splitlines()
    norms = np.load("data/features/faces/trunk/norm.npy")
    assert qualities == [f"{name} {norm!s}" for name, norm in zip(names, norms, strict=True)]


def test_the_quality_list_is_left_out_unless_asked_for(project):
    write_set(project, "faces", ["a.jpg"], np.ones((1, 3), np.float32))
    export_list.main("faces", "trunk", "feat.list")
    assert (project / "feat.list").read_text() == "a.jpg 1.0 1.0 1.0 \n"
    assert sorted(path.name for path in project.iterdir()) == ["data", "feat.list"]


def test_images_of_packs_are_named_by_their_number(project):
    write_set(project, "faces", ["record 7", "image 0"], np.ones((2, 1), np.float32))
    export_list.main("faces", "trunk", "feat.list")
    assert read_list(project / "feat.list")[0] == ["record_7", "image_0"]


def test_a_set_of_pairs_has_two_lines_a_pair(project, capsys):
    """Images recur; the last pair has one that was not aligned."""
    write_set(project, "pack", ["image 0", "image 1", "image 3"], np.diag([1.0, 2, 3]))
    pairs = {"first": [2, 0, 1], "second": [0, 1, 7], "same": [True, False, True]}
    listed = project / "data/unpack/pack/tables/pairs.parquet"
    listed.parent.mkdir(parents=True)
    write_table(listed, {name: np.array(column) for name, column in pairs.items()})
    export_list.main("pack", "trunk", "feat.list", "quality.list", "pair.list")
    names, vectors = read_list(project / "feat.list")
    assert names == ["image_3", "image_0", "image_0", "image_1"]
    assert vectors.sum(axis=1).tolist() == [3, 1, 1, 2]
    expected = "image_3 3.0\nimage_0 1.0\nimage_0 1.0\nimage_1 2.0\n"
    assert (project / "quality.list").read_text() == expected
    assert (project / "pair.list").read_text() == "image_3 image_0 1\nimage_0 image_1 0\n"
    assert "left out 1 pairs" in capsys.readouterr().err


def test_a_set_without_pairs_has_no_pair_list(project):
    write_set(project, "faces", ["a.jpg"], np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match="no pairs"):
        export_list.main("faces", "trunk", "feat.list", pairs="pair.list")
    assert [path.name for path in project.iterdir()] == ["data"]


@pytest.mark.parametrize("name", ["a b.jpg", "a\u00a0b.jpg", "a\n.jpg", " a.jpg", ""])
def test_a_path_with_a_space_is_refused(project, name):
    write_set(project, "faces", ["a.jpg", name], np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match="rename the image"):
        export_list.main("faces", "trunk", "feat.list", "quality.list")
    assert not (project / "feat.list").exists()


def test_features_of_another_set_are_refused_and_nothing_is_left(project):
    write_set(project, "faces", ["a.jpg", "b.jpg"], np.ones((2, 3), np.float32))
    np.save("data/features/faces/trunk/norm.npy", np.ones(3, np.float32))
    with pytest.raises(InputError, match="3 rows for 2 images"):
        export_list.main("faces", "trunk", "feat.list", "quality.list")
    with pytest.raises(InputError, match="cannot read the features"):
        export_list.main("faces", "other", "feat.list")
    with pytest.raises(InputError, match="two lists"):
        export_list.main("faces", "trunk", "feat.list", "./feat.list")
    assert [path.name for path in project.iterdir()] == ["data"]
