"""Names written elsewhere, and the images of a set that they mean."""

from __future__ import annotations

import numpy as np
import pytest

from stages.datasets._matching import match, match_numbers, numbered_order

KNOWN = ["loose_crop/1.jpg", "loose_crop/2.jpg", "loose_crop/10.jpg"]
PEOPLE = ["ann/1.jpg", "ann/2.jpg", "bob/1.jpg"]


@pytest.mark.parametrize(
    ("form", "by"),
    [
        ("loose_crop/{}.jpg", "path"),
        ("./loose_crop//{}.jpg", "path"),
        ("/data/IJBC/loose_crop/{}.jpg", "path"),
        ("C:\\ijbc\\loose_crop\\{}.jpg", "path"),
        ("loose_crop/{}.png", "path without its ending"),
        ("loose_crop/{}.jpg.npy", "path without its ending"),
        ("{}.jpg", "path"),
        ("{}", "path without its ending"),
        ("other/{}.jpg", "file name"),
        ("other/{}.BMP", "stem"),
    ],
)
def test_every_way_to_name_an_image(form: str, by: str) -> None:
    found = match([form.format(n) for n in (10, 1, 2)], KNOWN)
    assert found.image.tolist() == [2, 0, 1]
    assert found.by == by


def test_people_with_files_of_the_same_name_are_told_by_the_folder() -> None:
    names = ["/x/bob/1.png", "/x/ann/2.png", "/x/ann/1.png"]
    assert match(names, PEOPLE).image.tolist() == [2, 1, 0]
    found = match(["1.jpg", "2.jpg", "1.jpg"], PEOPLE)
    assert found.image.tolist() == [-1, -1, -1]
    assert found.unclear == ("1.jpg", "ann/1.jpg", "bob/1.jpg")


def test_a_file_name_in_the_folder_of_somebody_else_is_another_image() -> None:
    """The file names alone are unique in the set, and would match."""
    known = ["set/ann/1.jpg", "set/bob/2.jpg"]
    assert match(["ann/1.jpg", "bob/2.jpg"], known).image.tolist() == [0, 1]
    assert match(["bob/1.jpg", "bob/2.jpg"], known).image.tolist() == [-1, 1]


def test_paths_below_the_set_s_own_folders_may_be_of_different_depth() -> None:
    """MegaFace's: the file names, and the last two parts, are those of several images."""
    known = ["facescrub_images/A_B/1.png", "megaface_images/1/7/1.jpg", "megaface_images/2/7/1.jpg"]
    assert match(["2/7/1.jpg", "A_B/1.png", "1/7/1.jpg"], known).image.tolist() == [2, 0, 1]


def test_files_that_differ_by_their_ending_alone() -> None:
    known = ["a/1.jpg", "a/1.png"]
    assert match(["a/1.png", "a/1.jpg"], known).image.tolist() == [1, 0]
    assert match(["a/1", "a/1"], known).image.tolist() == [-1, -1]


def test_dots_of_a_name_are_no_ending_and_case_counts() -> None:
    assert match(["x.y"], ["x.z", "x.y"]).image.tolist() == [1]
    assert match(["A.jpg", "a.jpg"], ["a.jpg"]).image.tolist() == [-1, 0]
    assert match(["e\u0301.jpg"], ["\u00e9.jpg"]).image.tolist() == [0]  # one letter, two spellings


def test_blanks_may_be_written_as_underscores() -> None:
    assert match(["A_B_1.jpg", "A C 1.jpg"], ["x/A B 1.jpg", "x/A_C_1.jpg"]).image.tolist() == [
        0,
        1,
    ]
    assert match(["x/A_B.jpg"], ["x/A B.jpg", "x/A_B.jpg"]).image.tolist() == [-1]  # or the other


def test_names_that_are_found_in_part() -> None:
    found = match(["3.jpg", "2.jpg", "11.jpg"], KNOWN)
    assert found.image.tolist() == [-1, 1, -1]
    assert found.unclear is None


def test_images_of_packs_by_their_numbers() -> None:
    known = ["image 0", "image 1", "image 7"]
    found = match_numbers(["image_7", "x/image_0.jpg", "image 3"], known)
    assert found.image.tolist() == [2, 0, -1]
    assert match_numbers(["7", "image_0"], known) is None
    assert match_numbers(["image_0"], KNOWN) is None


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["0.jpg", "1.jpg", "10.jpg", *(f"{k}.jpg" for k in range(2, 10))],
         [0, 1, *range(3, 11), 2]),
        (["lfw/0003.png", "lfw/0001.png", "lfw/0002.png"], [1, 2, 0]),
        (["2", "1", "3"], [1, 0, 2]),
        (["1_2.jpg", "0_1.jpg", "1_1.jpg", "0_2.jpg"], [1, 3, 2, 0]),
        (["p1/0.jpg", "p0/1.jpg", "p1/1.jpg", "p0/0.jpg"], [3, 1, 0, 2]),
        (["1.jpg", "3.jpg"], None),  # not consecutive
        (["a1.jpg", "b2.jpg"], None),  # differ in more than numbers
        (["1.jpg", "1.jpg"], None),
        (["1_1", "1_2", "2_1", "2_3"], None),
        (["1_1", "1_2", "3_1", "3_2"], None),
        (["a", "b"], None),
        (["9" * 30, "8" * 30], None),
    ],
)  # fmt: skip
def test_rows_in_the_order_of_numbers(names: list[str], order: list[int] | None) -> None:
    found = numbered_order(names)
    assert (found if found is None else found.tolist()) == order


def test_names_of_a_random_set_in_any_order() -> None:
    """Against looking each one up by comparing the ends of all paths."""
    random = np.random.default_rng(0)
    known = [f"{random.integers(30)}/{random.integers(30)}/{k % 50}.jpg" for k in range(200)]
    known = list(dict.fromkeys(known))
    order = random.permutation(len(known))
    names = [f"/somewhere/{known[k][:-4]}.png" for k in order]
    expected = [next(k for k, one in enumerate(known) if name[:-4].endswith("/" + one[:-4]))
                for name in names]  # fmt: skip
    assert match(names, known).image.tolist() == expected == order.tolist()
