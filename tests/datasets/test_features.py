"""Features from elsewhere: every form of file, and what is wrong with damaged ones."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.datasets._features import read_features
from tests.goldens import golden


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def published(vectors: np.ndarray) -> dict[str, np.ndarray]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return {
        "img_feats": vectors / norms,
        "norms": norms,
        "faceness_scores": np.ones(len(vectors), np.float32),
    }


def write_list(path: Path, vectors: np.ndarray) -> None:
    lines = [" ".join([f"{k}.jpg", *map(str, row), "\n"]) for k, row in enumerate(vectors)]
    path.write_text("".join(lines))


def test_plain_arrays(tmp_path, vectors) -> None:
    np.save(tmp_path / "a.npy", vectors.astype(np.float64))
    read = read_features(tmp_path / "a.npy")
    assert list(read) == ["embedding"]
    assert read["embedding"].dtype == np.float32
    np.testing.assert_array_equal(read["embedding"], vectors)
    np.savez(tmp_path / "b.npz", embedding=vectors, mirrored=-vectors, names=np.array(["x"]))
    read = read_features(tmp_path / "b.npz")
    np.testing.assert_array_equal(read["embedding"], vectors)
    np.testing.assert_array_equal(read["mirrored"], -vectors)


@pytest.mark.parametrize("protocol", [2, 4])
def test_published_pickles(tmp_path, vectors, protocol) -> None:
    path = tmp_path / "IJBC_ir101_webface4m.pickle"
    path.write_bytes(pickle.dumps(published(vectors), protocol=protocol))
    np.testing.assert_allclose(read_features(path)["embedding"], vectors, rtol=1e-6)


def test_norms_decide_the_lengths(tmp_path, vectors) -> None:
    """Also where the vectors have some already; a vector of length 0 has no direction to keep."""
    vectors[2] = 0
    norms = np.arange(1, 7)
    np.savez(tmp_path / "a.npz", features=vectors, norms=norms, mirrored=3 * vectors[:, ::-1])
    read = read_features(tmp_path / "a.npz")
    expected = np.where(vectors.any(axis=1), norms, 0)
    np.testing.assert_allclose(np.linalg.norm(read["embedding"], axis=1), expected, rtol=1e-6)
    np.testing.assert_allclose(read["mirrored"], read["embedding"][:, ::-1], rtol=1e-6)


def test_feature_lists(tmp_path, vectors) -> None:
    vectors[0, 0] = 1e-30
    write_list(tmp_path / "feat.list", vectors)
    np.testing.assert_array_equal(read_features(tmp_path / "feat.list")["embedding"], vectors)


@golden("magface/toy_imgs_features*.npz")
def test_features_of_magface(file, tmp_path) -> None:
    """Lengths are the published magnitudes; the text form gives back every bit."""
    z = np.load(file)
    vectors = read_features(file)["embedding"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), z["magnitudes_f64"], rtol=1e-6)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, z["cos_matrix"], atol=1e-6)
    write_list(tmp_path / "feat.list", vectors)
    np.testing.assert_array_equal(read_features(tmp_path / "feat.list")["embedding"], vectors)


def damaged(tmp_path: Path, vectors: np.ndarray, what: str) -> Path:
    content = published(vectors)
    match what:
        case "none.npy":
            return tmp_path / what
        case "text.csv" | "cut.npz" | "cut.npy" | "words.list":
            (tmp_path / what).write_bytes(b"PK\x03\x04" if what == "cut.npz" else b"a b c\n")
        case "flat.npy":
            np.save(tmp_path / what, vectors[0])
        case "empty.npy":
            np.save(tmp_path / what, vectors[:0])
        case "objects.npy":
            np.save(tmp_path / what, np.array([{}]), allow_pickle=True)
        case "strings.npz":
            np.savez(tmp_path / what, embedding=np.array([["a"]]))
        case "unnamed.npz":
            np.savez(tmp_path / what, arr_0=vectors)
        case "mirrored.npz":
            np.savez(tmp_path / what, embedding=vectors, mirrored=vectors[:3])
        case "nan.npy":
            vectors[3, 2] = np.nan
            np.save(tmp_path / what, vectors)
        case "norms.pickle":
            content["norms"] = content["norms"][:-1]
            (tmp_path / what).write_bytes(pickle.dumps(content))
        case "list.pickle":
            (tmp_path / what).write_bytes(pickle.dumps([1]))
        case "code.pickle":
            (tmp_path / what).write_bytes(pickle.dumps(Path("x")))
    return tmp_path / what


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("none.npy", "file not found"),
        ("text.csv", "its name ends in none of"),
        ("cut.npz", "no archive of arrays"),
        ("cut.npy", "no array of numbers"),
        ("words.list", "no feature list"),
        ("flat.npy", "the shape"),
        ("empty.npy", "the shape"),
        ("objects.npy", "no array of numbers"),
        ("strings.npz", "no array of numbers"),
        ("unnamed.npz", "but arr_0"),
        ("mirrored.npz", "mirrored: has the shape"),
        ("nan.npy", "row 3 "),
        ("norms.pickle", "norms: has the shape"),
        ("list.pickle", "not a dict"),
        ("code.pickle", "asks for pathlib"),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path, vectors, what, problem) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        read_features(damaged(tmp_path, vectors, what))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("right", "wrong"), [(".npy", ".npz"), (".npz", ".npy")])
def test_the_remedy_for_the_other_kind_of_numpy_file_helps(tmp_path, vectors, right, wrong) -> None:
    file = tmp_path / f"a{right}"
    np.save(file, vectors) if right == ".npy" else np.savez(file, embedding=vectors)
    renamed = file.rename(tmp_path / f"a{wrong}")
    with pytest.raises(InputError) as caught:
        read_features(renamed)
    assert caught.value.remedy == f"name it {right}"
    renamed.rename(file)
    np.testing.assert_array_equal(read_features(file)["embedding"], vectors)


def test_an_archive_of_something_else_is_not_to_be_renamed(tmp_path) -> None:
    """Neither name would make it readable, so the remedy is another file."""
    with zipfile.ZipFile(tmp_path / "a.npy", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match="a ZIP archive of readme.txt, not an array") as caught:
        read_features(tmp_path / "a.npy")
    assert "name it" not in caught.value.remedy
