"""Features from elsewhere: every form of file, and what is wrong with damaged ones."""

from __future__ import annotations

import pickle
import re
import zipfile
from itertools import product
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
    np.savez(tmp_path / "b.npz", embedding=vectors, mirrored=-vectors, labels=np.array(["x"]))
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


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("as MagFace's", "{} {} \n"),
        ("Windows", "{} {}\r\n"),
        ("a tab", "{}\t{}\n"),
        ("several blanks", "{}  {}\n"),
        ("a blank before", " {} {}\n"),
        ("blank lines", "{} {}\n\n"),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_blanks_of_feature_lists(tmp_path, vectors, form, text, mark) -> None:
    """No number is lost, whatever separates them; also where the lines differ."""
    names = [f"p/{k}.jpg" for k in range(len(vectors))]
    lines = [text.format(n, " ".join(map(str, row))) for n, row in zip(names, vectors, strict=True)]
    (tmp_path / "a.list").write_bytes(mark + "".join(lines).encode())
    (tmp_path / "b.list").write_text(
        " ".join([names[0], *map(str, vectors[0]), "\n"]) + "".join(lines[1:])
    )
    for name in ("a.list", "b.list"):
        read = read_features(tmp_path / name)
        np.testing.assert_array_equal(read["embedding"], vectors)
        assert read["names"] == names


def test_names_of_every_kind(tmp_path, vectors) -> None:
    names = [f"p/{k} é.jpg" for k in range(6)]
    kinds = {
        "list": names,
        "tuple": tuple(names),
        "array": np.array(names),
        "bytes": np.array([name.encode() for name in names]),
        "objects": np.array(names, object),
    }
    for protocol, (kind, value) in product(range(6), kinds.items()):
        content = pickle.dumps({"img_feats": vectors, "names": value}, protocol)
        (tmp_path / "a.pkl").write_bytes(content)
        read = read_features(tmp_path / "a.pkl")
        assert read["names"] == names, (kind, protocol)
        np.testing.assert_array_equal(read["embedding"], vectors)
    for key in ("names", "paths", "filenames"):
        np.savez(tmp_path / "a.npz", embedding=vectors, **{key: np.array(names)})
        assert read_features(tmp_path / "a.npz")["names"] == names
    assert "names" not in read_features(damaged(tmp_path, vectors, "nameless.npy"))


def test_a_vector_for_each_name(tmp_path, vectors) -> None:
    by_name = {f"p/{k}.jpg": row for k, row in enumerate(vectors)}
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(by_name))
    np.savez(tmp_path / "a.npz", **{name: row[None] for name, row in by_name.items()})
    for name in ("a.pickle", "a.npz"):
        read = read_features(tmp_path / name)
        assert read["names"] == list(by_name)
        np.testing.assert_array_equal(read["embedding"], vectors)


def test_shapes_and_types_that_mean_the_same(tmp_path, vectors) -> None:
    small = vectors.astype(np.float16)
    forms = [
        small[:, None],
        small[:, :, None, None],
        small[:, :, None],
        small[None],
        small[None, :, None],
        small.astype(np.float64),
        np.asfortranarray(small.astype(np.float64)),
        small.astype(">f8"),
    ]
    for form in forms:
        np.save(tmp_path / "a.npy", form)
        read = read_features(tmp_path / "a.npy")
        assert list(read) == ["embedding"]
        assert read["embedding"].dtype == np.float32
        np.testing.assert_array_equal(read["embedding"], small.astype(np.float32))
    both = np.stack([vectors, -vectors])
    for form in (both, both[:, :, None], both[..., None, None]):
        np.save(tmp_path / "a.npy", form)
        read = read_features(tmp_path / "a.npy")
        np.testing.assert_array_equal(read["embedding"], vectors)
        np.testing.assert_array_equal(read["mirrored"], -vectors)


def side_by_side(d: int, noise: float) -> np.ndarray:
    """[40, 2d]: embeddings and those of the mirror images, of a cosine of 1 / (1 + noise^2)."""
    random = np.random.default_rng(1)
    own = random.normal(size=(40, d))
    return np.hstack([own + noise * random.normal(size=(40, d)) for _ in range(2)])


def test_two_views_side_by_side_are_refused_with_the_line_that_saves_them(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array = side_by_side(64, 0.3)
    np.save("a.npy", array)
    np.savez("b.npz", features=array)
    for name in ("a.npy", "b.npz"):
        with pytest.raises(InputError, match="halves are alike") as caught:
            read_features(Path(name))
        exec(re.search(r'-c "(.*?)"', caught.value.remedy)[1])
        read = read_features(Path(name).with_suffix(".npy"))
        np.testing.assert_array_equal(read["embedding"], array[:, :64].astype(np.float32))
        np.testing.assert_array_equal(read["mirrored"], array[:, 64:].astype(np.float32))
    write_list(tmp_path / "a.list", array)
    with pytest.raises(InputError, match=r"numpy.save\(FILE, numpy.stack"):
        read_features(tmp_path / "a.list")


def test_the_width_that_is_told_decides(tmp_path) -> None:
    """Also where the halves tell nothing, and where they seem to."""
    np.save(tmp_path / "a.npy", side_by_side(64, 5))
    assert read_features(tmp_path / "a.npy")["embedding"].shape == (40, 128)
    with pytest.raises(InputError, match=r"has 128 numbers .* `dimensions` is 64.*numpy.split"):
        read_features(tmp_path / "a.npy", 64)
    with pytest.raises(InputError, match="correct `dimensions`"):
        read_features(tmp_path / "a.npy", 100)
    np.save(tmp_path / "a.npy", side_by_side(64, 0.3))
    assert read_features(tmp_path / "a.npy", 128)["embedding"].shape == (40, 128)


def test_halves_of_rows_that_are_all_alike_are_no_two_views(tmp_path) -> None:
    """Pixels have a common part: halves of any two rows are as similar as those of one."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", 1 + 0.1 * random.normal(size=(40, 128)))
    assert read_features(tmp_path / "a.npy")["embedding"].shape == (40, 128)


def damaged(tmp_path: Path, vectors: np.ndarray, what: str) -> Path:
    content = published(vectors)
    match what:
        case "none.npy":
            return tmp_path / what
        case "nameless.npy":
            np.save(tmp_path / what, vectors)
        case "text.csv" | "cut.npz" | "cut.npy" | "words.list":
            (tmp_path / what).write_bytes(b"PK\x03\x04" if what == "cut.npz" else b"a b c\n")
        case "flat.npy":
            np.save(tmp_path / what, vectors[0])
        case "empty.npy":
            np.save(tmp_path / what, vectors[:0])
        case "objects.npy":
            np.save(tmp_path / what, np.array([{}]), allow_pickle=True)
        case "complex.npy":
            np.save(tmp_path / what, vectors.astype(complex))
        case "lengths.npy":
            np.save(tmp_path / what, np.linalg.norm(vectors, axis=1, keepdims=True))
        case "views.npy":
            np.save(tmp_path / what, np.stack([vectors, vectors], axis=1))
        case "three.npy":
            np.save(tmp_path / what, np.stack([vectors] * 3))
        case "twice.npz":
            np.savez(tmp_path / what, embedding=np.stack([vectors, vectors]), mirrored=vectors)
        case "few_names.npz":
            np.savez(tmp_path / what, embedding=vectors, names=np.array(["x"]))
        case "numbered.npz":
            np.savez(tmp_path / what, embedding=vectors, paths=np.arange(6))
        case "comma.list":
            (tmp_path / what).write_text("a.jpg,1,2\n")
        case "utf16.list":
            (tmp_path / what).write_text("a.jpg 1 2\n", encoding="utf-16")
        case "blank.list":
            (tmp_path / what).write_text("a.jpg 1 2\nmy b.jpg 1 2\n")
        case "first_blank.list":
            (tmp_path / what).write_text("my b.jpg 1 2\n")
        case "cut.list":
            (tmp_path / what).write_text("a.jpg 1 2\nb.jpg 1\n")
        case "null.list":
            (tmp_path / what).write_text("a.jpg 1 2\nb.jpg NA 1\n")
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
        ("words.list", "line 1: no feature list: 'b' is not a number"),
        ("comma.list", "not commas"),
        ("utf16.list", "it is UTF-16"),
        ("blank.list", "line 2: no feature list: 'b.jpg' is not a number"),
        ("first_blank.list", "line 1: no feature list: 'b.jpg' is not a number"),
        ("cut.list", "line 2: no feature list: 1 numbers, not 2"),
        ("null.list", "line 2: no feature list: 'NA' is not a number"),
        ("complex.npy", "not an array of real numbers, but complex128"),
        ("lengths.npy", r"the shape \[6, 1\]: one number"),
        ("views.npy", r"\[6, 2, 5\], two views .* a.swapaxes\(0, 1\)"),
        ("three.npy", r"the shape \[3, 6, 5\]"),
        ("twice.npz", "not in both"),
        ("few_names.npz", "has 1 names for 6 rows"),
        ("numbered.npz", "paths: is not a list of names"),
        ("flat.npy", "the shape"),
        ("empty.npy", "the shape"),
        ("objects.npy", "no array of numbers .it holds Python objects"),
        ("strings.npz", "not an array of real numbers, but <U1"),
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


@pytest.mark.parametrize("scale", [1e25, 1e-30])
def test_lengths_that_float32_cannot_square_are_refused(tmp_path, vectors, scale) -> None:
    vectors[2] *= scale
    np.save(tmp_path / "a.npy", vectors)
    with pytest.raises(InputError, match=r"embedding: row 2 \(from 0\) has the length .*e[-+]"):
        read_features(tmp_path / "a.npy")
    vectors[2] = 0  # no face
    np.save(tmp_path / "a.npy", vectors)
    assert not read_features(tmp_path / "a.npy")["embedding"][2].any()


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_label_among_the_numbers_is_refused(tmp_path, place) -> None:
    """`path label v1 ..` has one number more than the model, which moves every cosine."""
    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    labels = np.arange(20, dtype=np.float32)[:, None] // 4
    wide = np.hstack([labels, vectors] if place == "first" else [vectors, labels])
    np.save(tmp_path / "a.npy", wide)
    write_list(tmp_path / "a.list", wide)
    for name in ("a.npy", "a.list"):
        with pytest.raises(InputError, match=f"the {place} number of every row is whole"):
            read_features(tmp_path / name)
        read = read_features(tmp_path / name, dimensions=9)["embedding"]
        np.testing.assert_array_equal(read, wide)


def test_whole_numbers_that_are_no_labels(tmp_path) -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    dead = np.hstack([np.zeros((20, 1), np.float32), vectors])
    for array in (dead, np.rint(10 * vectors), (10 * vectors).astype(np.int8)):
        np.save(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(read_features(tmp_path / "a.npy")["embedding"], array)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("path f1 f2", "f1"),
        ("# my list", "my"),
        ("0 a.jpg 1", "a.jpg"),
        ("my data/a.jpg 1", "data"),
    ],
)
def test_the_remedy_for_a_line_of_something_else(tmp_path, line, word) -> None:
    (tmp_path / "a.list").write_text(f"{line}\nb.jpg 1 2\n")
    with pytest.raises(InputError, match=f"line 1: .*{word}.* without a header, comments or other"):
        read_features(tmp_path / "a.list")


@pytest.mark.parametrize(
    "form",
    [np.ndarray.tolist, list, tuple, lambda v: [row.tolist() for row in v]],
)
def test_lists_of_numbers_in_a_pickle(tmp_path, vectors, form) -> None:
    for held in ({"embedding": form(vectors)}, dict(zip("abcdef", form(vectors), strict=True))):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(held))
        read = read_features(tmp_path / "a.pkl")
        np.testing.assert_array_equal(read["embedding"], vectors)
        assert read.get("names", list("abcdef")) == list("abcdef")


@pytest.mark.parametrize("shape", [(5, 1, 1), (1, 5, 1, 1), (1, 1, 5)])
def test_vectors_by_name_with_axes_of_length_one(tmp_path, vectors, shape) -> None:
    named = {name: row.reshape(shape) for name, row in zip("abcdef", vectors, strict=True)}
    np.savez(tmp_path / "a.npz", **named)
    read = read_features(tmp_path / "a.npz")
    np.testing.assert_array_equal(read["embedding"], vectors)
    assert read["names"] == list("abcdef")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.npy", b"<html>404</html>", "no array of numbers (it begins with b'<html>'"),
        ("a.list", b"", "the file is empty"),
        ("a.list", b"\n \n", "the file is empty"),
        ("a.pt", b"PK", "Remedy: save the array as a.npy with numpy.save"),
        ("a.csv", b"a.jpg,1", "Remedy: save the array as a.npy with numpy.save"),
    ],
)
def test_files_of_something_else_are_named(tmp_path, name, content, problem) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(problem)):
        read_features(tmp_path / name)


def test_an_archive_whose_list_of_names_is_damaged_is_refused(tmp_path: Path) -> None:
    """Under another name, the mirror images would be left out without a word."""
    file, numbers = tmp_path / "a.npz", np.eye(3, 4, dtype=np.float32)
    np.savez(file, features=numbers, mirrored=numbers)
    content = file.read_bytes()
    at = content.rindex(b"mirrored.npy")
    file.write_bytes(content[:at] + b"mirrored.opy" + content[at + 12 :])
    with pytest.raises(InputError, match="no archive of arrays"):
        read_features(file)
