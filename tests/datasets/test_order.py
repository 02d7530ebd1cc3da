"""Rows of features in the order of a set, by their names or on trust."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.datasets._order import interleaved, place

FILE = Path("a.list")
KNOWN = [f"loose_crop/{k}.jpg" for k in range(1, 13)]
PACK = ["image 0", "image 1", "image 3"]
PLACES = np.array([0, 1, 0, 2, 1, 2])  # three pairs of three images
EMBEDDING = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)


def given(names=None, embedding=EMBEDDING, **others) -> dict:
    return {"embedding": embedding} | ({} if names is None else {"names": names}) | others


def test_rows_are_put_in_the_order_of_the_set(capsys) -> None:
    """`ls` sorts 10 before 2."""
    order = sorted(range(12), key=lambda k: KNOWN[k])
    names = [KNOWN[k] for k in order]
    arrays, notes = place(FILE, given(names, EMBEDDING[order], mirrored=-EMBEDDING[order]), KNOWN)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)
    np.testing.assert_array_equal(arrays["mirrored"], -EMBEDDING)
    assert "by their path and were put in its order" in notes["order"]
    assert capsys.readouterr().err == f"a.list: {notes['order']}\n"
    arrays, notes = place(FILE, given(KNOWN), KNOWN)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)
    assert "are in its order" in notes["order"]


def test_rows_without_names_are_taken_on_trust(capsys) -> None:
    arrays, notes = place(FILE, given(), KNOWN)
    assert arrays["embedding"] is EMBEDDING
    assert "taken on trust: the file names no images" in notes["order"]
    assert "taken on trust" in capsys.readouterr().err


def test_some_images_are_wanted() -> None:
    """A file may hold them alone, or all; without names, in the order of either."""
    wanted = np.array([0, 2, 5])
    for rows in (np.arange(12), wanted, np.array([5, 0, 2, 7])):
        names = [KNOWN[k] for k in rows]
        arrays, _ = place(FILE, given(names, EMBEDDING[rows]), KNOWN, wanted=wanted)
        np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[wanted])
    for rows in (np.arange(12), wanted):
        arrays, _ = place(FILE, given(None, EMBEDDING[rows]), KNOWN, wanted=wanted)
        np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[wanted])


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (KNOWN[1:], r"name 11 of the 12 images; without a row: 1 \('loose_crop/1.jpg'\)"),
        (
            [*KNOWN[:-1], "loose_crop/13.jpg"],
            r"without a row: 1 \('loose_crop/12.jpg'\); not of the set: 1 \('loose_crop/13.jpg'\)",
        ),
        ([*KNOWN, "x.jpg"], r"name 12 of the 12 images; not of the set: 1 \('x.jpg'\)"),
        ([f"{k}x.jpg" for k in range(12)], r"name 0 .* \('0x.jpg', '1x.jpg', '2x.jpg', ..\)"),
        ([*KNOWN, "5.png"], r"named again: 1 \('5.png'; rows 4 and 12, from 0\)"),
        ([KNOWN[0], *KNOWN[:-1]], r"named again: 1 \('loose_crop/1.jpg'; rows 0 and 1, from 0\)"),
        ([*KNOWN, KNOWN[3]], "name 12 of the 12 images; named again: 1"),
        (["a"] * 12, "every row has the same name, 'a'"),
        ([f"{x:.6f}" for x in EMBEDDING[:, 0]], "the first word of each line is a number"),
        ([str(k) for k in range(20, 32)], "the first word of each line is a number"),
    ],
)
def test_other_images_are_refused(names: list[str], problem: str) -> None:
    rows = np.resize(np.arange(12), len(names))
    with pytest.raises(InputError, match=problem):
        place(FILE, given(names, EMBEDDING[rows]), KNOWN)


def test_names_that_are_numbers_may_be_stems() -> None:
    order = np.random.default_rng(0).permutation(12)
    arrays, _ = place(FILE, given([str(k + 1) for k in order], EMBEDDING[order]), KNOWN)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING)


def test_a_name_of_two_images_is_refused() -> None:
    known = ["ann/1.jpg", "bob/1.jpg"]
    with pytest.raises(InputError, match=r"'1.jpg' of a row may be 'ann/1.jpg' or 'bob/1.jpg'"):
        place(FILE, given(["1.jpg", "2.jpg"], EMBEDDING[:2]), known)


def test_a_list_that_names_an_image_twice() -> None:
    """Then its rows may recur, as long as they are alike."""
    known = ["a.jpg", "b.jpg", "a.jpg"]
    rows = np.array([1, 0, 0])
    arrays, _ = place(FILE, given(["b.jpg", "a.jpg", "a.jpg"], EMBEDDING[rows]), known)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[[0, 1, 0]])
    arrays, _ = place(FILE, given(["b.jpg", "a.jpg"], EMBEDDING[rows[:2]]), known)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[[0, 1, 0]])
    with pytest.raises(InputError, match="named again with other features: 1"):
        place(FILE, given(["b.jpg", "a.jpg", "a.jpg"], EMBEDDING[:3]), known)


def test_another_number_of_rows() -> None:
    with pytest.raises(InputError, match="11 rows for 12 images"):
        place(FILE, given(None, EMBEDDING[:11]), KNOWN)
    with pytest.raises(InputError, match=r"5 rows for 3 distinct or 6 images"):
        place(FILE, given(None, EMBEDDING[:5]), PACK, PLACES)
    with pytest.raises(InputError, match=r"\[d, n\]: transpose"):
        place(FILE, given(None, EMBEDDING.T), KNOWN)


def test_a_pack_by_the_numbers_of_its_images() -> None:
    """As export_list names them: once each, or twice a pair."""
    for rows in ([2, 0, 1], PLACES, [1, 2, 0, 2]):
        names = [PACK[k].replace(" ", "_") for k in rows]
        arrays, notes = place(FILE, given(names, EMBEDDING[rows]), PACK, PLACES)
        np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])
        assert "by their number" in notes["order"]
    with pytest.raises(InputError, match=r"without a row: 1 \('image 3'\)"):
        place(FILE, given(["image_0", "image_1"], EMBEDDING[:2]), PACK, PLACES)
    with pytest.raises(InputError, match="named again with other features"):
        names = ["image_0", "image_1", "image_3", "image_0"]
        place(FILE, given(names, EMBEDDING[:4]), PACK, PLACES)


@pytest.mark.parametrize("form", ["{}.jpg", "lfw/{:04d}.png", "{}"])
def test_a_pack_by_consecutive_numbers(form: str) -> None:
    order = np.array([5, 0, 3, 1, 2, 4])
    names = [form.format(k) for k in order]
    arrays, notes = place(FILE, given(names, EMBEDDING[PLACES[order]]), PACK, PLACES)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])
    assert "put in the order of the numbers in their names" in notes["order"]
    assert "WARNING" not in notes["order"]
    rows = np.array([2, 0, 1])
    names = [form.format(k + 1) for k in rows]
    arrays, _ = place(FILE, given(names, EMBEDDING[rows]), PACK, PLACES)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])


def test_a_pack_on_trust() -> None:
    """Rows of an image that recurs tell an order that is not the pack's."""
    names = ["x/ann.jpg", "x/bob.jpg", "x/ann.jpg", "y/3.jpg", "x/bob.jpg", "y/3.jpg"]
    arrays, notes = place(FILE, given(names, EMBEDDING[PLACES]), PACK, PLACES)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])
    assert "on trust: the images of a pack have no names to compare with" in notes["order"]
    assert "WARNING" not in notes["order"]
    for naming in (names, None):
        _, notes = place(FILE, given(naming, EMBEDDING[np.roll(PLACES, 1)]), PACK, PLACES)
        assert "WARNING: 3 of 3 rows differ from an earlier row" in notes["order"]
    zeros = EMBEDDING[PLACES].copy()
    zeros[2] = 0
    assert "WARNING" not in place(FILE, given(None, zeros), PACK, PLACES).notes["order"]
    with pytest.raises(InputError, match="the first word of each line is a number"):
        place(FILE, given([str(x) for x in EMBEDDING[:6, 0]], EMBEDDING[PLACES]), PACK, PLACES)


def test_rows_of_zeros_are_counted_and_named(capsys) -> None:
    zeros = EMBEDDING.copy()
    zeros[[1, 4, 5, 11]] = 0
    _, notes = place(FILE, given(None, zeros), KNOWN)
    expected = "4 of 12 rows of embedding are zeros ('loose_crop/2.jpg', 'loose_crop/5.jpg', "
    assert notes["zeros"].startswith(expected + "'loose_crop/6.jpg', ..)")
    assert expected in capsys.readouterr().err
    _, notes = place(FILE, given(None, mirrored=zeros[:, ::-1]), KNOWN)
    assert notes["zeros"].startswith("4 of 12 rows of mirrored are zeros")
    order = np.arange(12)[::-1]
    _, notes = place(FILE, given([KNOWN[k] for k in order], zeros[order]), KNOWN)
    assert notes["zeros"].startswith(expected)  # by the names of the set
    assert "zeros" not in place(FILE, given(), KNOWN).notes


def test_places_of_a_pack() -> None:
    assert interleaved(None) is None
    pairs = {"first": np.array([0, 0, 1]), "second": np.array([1, 2, 2])}
    assert interleaved(pairs).tolist() == PLACES.tolist()


@pytest.mark.parametrize("form", ["image_{}", "image_{:05d}.npy", "record_{}"])
def test_every_place_of_a_pack_by_its_number(form: str) -> None:
    """Not the first places alone, which are the names of distinct images."""
    order = np.array([5, 0, 3, 1, 2, 4])
    names = [form.format(k) for k in order]
    arrays, notes = place(FILE, given(names, EMBEDDING[PLACES[order]]), PACK, PLACES)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])
    assert "put in the order of the numbers" in notes["order"]
    assert "WARNING" not in notes["order"]
    with pytest.raises(InputError, match="not of the set: 2"):
        place(FILE, given(names[:-1], EMBEDDING[PLACES[order[:-1]]]), PACK, PLACES)


def test_sides_before_pairs() -> None:
    """Folders of the two sides, each with a file a pair."""
    order = np.array([5, 0, 3, 1, 2, 4])
    names = [f"side{k % 2 + 1}/{k // 2}.jpg" for k in order]
    arrays, notes = place(FILE, given(names, EMBEDDING[PLACES[order]]), PACK, PLACES)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])
    assert "WARNING" not in notes["order"]


@pytest.mark.parametrize("form", ["{label}/{k}.jpg", "person{label}_{k:03d}.png"])
def test_a_running_number_after_a_label(form: str) -> None:
    order = np.array([5, 0, 3, 1, 2, 4])
    names = [form.format(label=(7 * PLACES[k]) % 5, k=k) for k in order]
    arrays, notes = place(FILE, given(names, EMBEDDING[PLACES[order]]), PACK, PLACES)
    np.testing.assert_array_equal(arrays["embedding"], EMBEDDING[:3])
    assert "put in the order of the numbers" in notes["order"]
