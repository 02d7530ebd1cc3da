"""Columns beside the vectors that tell whose rows these are, whatever they are called."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.datasets._features import read_features
from stages.datasets._order import place

KNOWN = [f"loose_crop/{k}.jpg" for k in range(1, 13)]
ORDER = np.random.default_rng(1).permutation(12)
SHUFFLED = [KNOWN[k] for k in ORDER]
EMBEDDING = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
PACK = [f"image {k}" for k in range(12)]


def save(folder: Path, ending: str, **held) -> Path:
    path = folder / f"a{ending}"
    if ending == ".npz":
        np.savez(path, **held)
    else:
        path.write_bytes(pickle.dumps(held))
    return path


@pytest.mark.parametrize("ending", [".npz", ".pkl"])
@pytest.mark.parametrize("key", ["ids", "keys", "image_path", "id", "img_name"])
@pytest.mark.parametrize(
    "form", [np.array, list, lambda names: np.array(names)[:, None], lambda n: np.array(n, bytes)]
)
def test_names_under_another_key_put_the_rows_in_order(tmp_path, ending, key, form) -> None:
    labels = np.array([f"{k % 3 + 1}" for k in ORDER])  # stems of the set as well
    held = {"labels": labels, "embedding": EMBEDDING[ORDER], key: form(SHUFFLED)}
    path = save(tmp_path, ending, **held)
    arrays, notes = place(path, read_features(path), KNOWN)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)
    assert "by their path and were put in its order" in notes["order"]


def test_numbers_of_a_pack_under_another_key(tmp_path) -> None:
    for form in ("{}.jpg", "image_{}"):
        names = np.array([form.format(k) for k in ORDER])
        path = save(tmp_path, ".npz", embedding=EMBEDDING[ORDER], keys=names)
        arrays, _ = place(path, read_features(path), PACK)
        np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)


@pytest.mark.parametrize("names", [[f"o{k}.jpg" for k in range(12)], [*KNOWN[:3], *"abcdefghi"]])
def test_names_of_other_images_under_another_key_are_refused(tmp_path, names) -> None:
    path = save(tmp_path, ".npz", embedding=EMBEDDING, keys=np.array(names))
    with pytest.raises(InputError, match=r"the rows name (0|3) of the 12 images"):
        place(path, read_features(path), KNOWN)


def test_what_names_no_images_is_said_and_trusted(tmp_path) -> None:
    labels = np.array(["Ann", "Bob"] * 6)
    path = save(tmp_path, ".npz", embedding=EMBEDDING, labels=labels, sha=np.array(SHUFFLED, "O"))
    arrays, notes = place(path, read_features(path), KNOWN)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)
    assert notes["order"].endswith(
        "on trust: the file has no `names`, and `labels` names none, "
        "`sha` holds Python objects, which are not read"
    )


@pytest.mark.parametrize("ending", [".npz", ".pkl"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("form", [np.array, lambda numbers: np.array(numbers).tolist()])
def test_row_numbers_in_another_order_are_refused(tmp_path, ending, first, form) -> None:
    path = save(tmp_path, ending, embedding=EMBEDDING[ORDER], index=form(ORDER + first))
    with pytest.raises(InputError, match=rf"index: .* row 0 has the number {ORDER[0] + first}"):
        read_features(path)


def test_other_whole_numbers_are_let_be(tmp_path) -> None:
    for numbers in (np.arange(12), np.arange(12)[::-1] + 5, np.arange(12) // 3, np.zeros(12, int)):
        path = save(tmp_path, ".npz", embedding=EMBEDDING, index=numbers)
        assert set(read_features(path)) == {"embedding"}


def test_names_keep_no_line_ends(tmp_path) -> None:
    names = np.array([f" {name}\n" for name in SHUFFLED])
    path = save(tmp_path, ".npz", embedding=EMBEDDING[ORDER], names=names)
    arrays, _ = place(path, read_features(path), KNOWN)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)
