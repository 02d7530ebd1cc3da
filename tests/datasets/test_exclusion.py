"""Lists that clean a set find its images however either spells them, and no other image."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import pytest

from stages.core.errors import InputError
from stages.datasets._exclusion import left_out

LIST = Path("noises.txt")
KIT = [f"{who}/{who}_{n}.jpg" for who in ("Adam Brody", "Robert Di Niro") for n in (1, 2, 3)]
FLICKR = [f"{k // 2}/1234{k}@N0{k}/{k}_0.jpg" for k in range(6)]
ZOE = unicodedata.normalize("NFC", "Zoë/Zoë_1.jpg")


def found(text: str, names: list[str]) -> list[str]:
    return sorted(left_out(LIST, text, names, "get the other list"))


@pytest.mark.parametrize(
    "line",
    [
        "Adam Brody/Adam Brody_2.jpg", "Adam_Brody_2.png", "Adam Brody_2.jpg", "Adam_Brody_2",
        "adam_brody_2.JPEG", "Adam%20Brody/Adam%20Brody_2.jpg", "Adam_Brody/Adam_Brody_2.png",
        "./Adam Brody/Adam Brody_2.jpg", "Adam Brody\\Adam Brody_2.jpg", "Adam  Brody_2.bmp",
        "facescrub_images/Adam Brody/Adam Brody_2.jpg", "/data/x/Adam_Brody/Adam_Brody_2.png",
        "C:\\faces\\Adam Brody\\Adam Brody_2.jpg", '"Adam Brody_2.jpg"', "'Adam_Brody_2.png'",
        "  Adam_Brody_2.png  ", "Adam_Brody_2.png\r", "1\tAdam_Brody_2.png", "Adam_Brody_2.png\t1",
        "1,Adam_Brody_2.png", "Adam_Brody_2.png,not him", '7,"Adam Brody_2.jpg"',
        "Adam Brody\tAdam Brody_2.jpg", "Adam_Brody_2.png 0 17 0", "3 Adam_Brody_2.png",
        "Adam Brody_2.jpg 0.93", "12 Adam Brody/Adam Brody_2.jpg 0.5 -1",
        "Adam_Brody_2.png # blurred", "Adam Brody_2.jpg # not him, 7",
        "Adam Brody_2.jpg,Adam_Brody_2.png",
    ],
)  # fmt: skip
def test_every_spelling_of_one_image(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(f"# noise\n\n{line}\nNobody_Here_1.png\n", KIT) == ["Adam Brody/Adam Brody_2.jpg"]
    said = capsys.readouterr().err
    assert said.startswith("noises.txt: found 1 of 2 names, leaves out 1 of 6 images")
    assert said.endswith("; not found: 'Nobody_Here_1.png'\n")


def test_the_set_may_be_the_one_without_folders() -> None:
    assert found("Adam Brody/Adam Brody_1.jpg\n", ["Adam_Brody_1.png", "x.png"]) == [
        "Adam_Brody_1.png"
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_of_two_encodings_are_one(form: str) -> None:
    assert found(unicodedata.normalize(form, "Zoë_1.png"), [ZOE, "x.jpg"]) == [ZOE]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"path": ["Adam_Brody_1.png", "Nobody.png"], "id": ["a", "b"]}),
        json.dumps(["Adam_Brody_1.png", "Nobody.png"]),
    ],
)
def test_lists_of_the_kit(text: str) -> None:
    assert found(text, KIT) == ["Adam Brody/Adam Brody_1.jpg"]


def test_another_spelling_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Names without a blank are alike in both spellings: a list that finds those few alone would
    leave most of the noise in (insightface#610: 24 of 605)."""
    names = ["Zoe/Zoe_1.png", *KIT]
    images = found("Zoe_1.png\nAdam_Brody_1.png\nRobert_Di_Niro_3.png\n", names)
    assert images == [KIT[0], KIT[5], names[0]]
    assert capsys.readouterr().err == (
        "noises.txt: found 3 of 3 names, leaves out 3 of 7 images; 2 by another spelling, such as "
        "'Adam_Brody_1.png' for 'Adam Brody/Adam Brody_1.jpg'\n"
    )


@pytest.mark.parametrize(
    ("line", "image"),
    [("1\t0/12341@N01/1_0.jpg", FLICKR[1]), ("0/12341@N01\t1_0.jpg", FLICKR[1]),
     ("12343@N03\t3_0.jpg", FLICKR[3]), ("id\t3_0.jpg", FLICKR[3]),
     ("FlickrFinal2/2/12344@N04/4_0", FLICKR[4])],
)  # fmt: skip
def test_flickr_images(line: str, image: str) -> None:
    assert found(line, FLICKR) == [image]


@pytest.mark.parametrize(
    "line",
    ["9/99@N09/3_0.jpg", "99@N09\t3_0.jpg", "1/99@N09\t3_0.jpg", "3", "3\t1", "3_00.jpg",
     "xBrody_1.png", "m_Brody_1.png", "Brody_1.png", "Adam Brody", "Adam_Brody_1.png.txt"],
)  # fmt: skip
def test_an_image_that_is_not_in_the_set_takes_no_other_with_it(line: str) -> None:
    assert found(f"{line}\nRobert_Di_Niro_1.png", KIT + FLICKR) == [KIT[3]]


@pytest.mark.parametrize(
    ("line", "image"),
    [("Adam_Brody_1.png", "a/Adam_Brody_1.png"), ("Adam Brody_1.png", "a/Adam Brody_1.png"),
     ("Adam_Brody_1.jpg", "a/Adam_Brody_1.jpg"), ("adam_brody_1.png", "a/adam_brody_1.png"),
     ("Adam%20Brody_1.png", "a/Adam Brody_1.png"), ("a\\Adam_Brody_1.jpg", "a/Adam_Brody_1.jpg")],
)  # fmt: skip
def test_of_images_that_are_alike_the_one_that_is_spelled_so(line: str, image: str) -> None:
    names = ["a/Adam_Brody_1.png", "a/Adam Brody_1.png", "a/Adam_Brody_1.jpg", "a/adam_brody_1.png"]
    assert found(line, names) == [image]


@pytest.mark.parametrize(
    ("line", "names"),
    [("Adam_Brody_1.bmp", ["a/Adam_Brody_1.png", "a/Adam Brody_1.jpg"]),
     ("7.jpg", ["0/1@N00/7.jpg", "0/2@N00/7.jpg"]),
     ("1@N00/7.jpg", ["0/1@N00/7.jpg", "1/1@N00/7.jpg"])],
)  # fmt: skip
def test_a_line_that_may_mean_either_of_two_is_refused(line: str, names: list[str]) -> None:
    with pytest.raises(InputError, match="line 2: .* may mean 2 images") as caught:
        found(f"# noise\n{line}\n", names)
    assert names[0] in caught.value.problem
    assert names[1] in caught.value.problem


def test_a_whole_path_goes_before_the_end_of_another() -> None:
    assert found("a/7.jpg", ["a/7.jpg", "x/a/7.jpg"]) == ["a/7.jpg"]


def test_a_list_that_finds_nothing_is_refused_with_names_of_both() -> None:
    text = "".join(f"other_{n}.png\n" for n in range(5))
    with pytest.raises(InputError) as caught:
        found(text, KIT)
    assert caught.value.problem == (
        "found 0 of 5 names: the list has 'other_0.png', 'other_1.png', 'other_2.png', ..; the set "
        "has 'Adam Brody/Adam Brody_1.jpg', 'Adam Brody/Adam Brody_2.jpg', "
        "'Adam Brody/Adam Brody_3.jpg', .."
    )
    assert caught.value.remedy == "get the other list"


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "[]", '{"path": []}'])
def test_a_list_of_nothing_leaves_out_nothing(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(text, KIT) == []
    assert "found 0 of 0 names, leaves out 0 of 6 images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    ["x" * 10**6 + ",y", "[" * 10**5, '{"path": ' + "[" * 10**5, '"', ",", "\t", "\0", "/", "%"],
)  # fmt: skip
def test_damaged_lines_name_nothing(line: str) -> None:
    assert found(f"{line}\nAdam_Brody_1.png", KIT) == [KIT[0]]


def test_three_of_those_not_found_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    found("".join(f"x_{n}.png\n" for n in range(5)) + "Adam_Brody_1.png\n", KIT)
    said = capsys.readouterr().err
    assert "found 1 of 6 names" in said
    assert said.endswith("not found: 'x_0.png', 'x_1.png', 'x_2.png', ..\n")


def test_lines_that_come_twice_count_once(capsys: pytest.CaptureFixture[str]) -> None:
    found("Adam_Brody_1.png\nAdam_Brody_1.png\n", [*KIT, KIT[0]])
    assert "found 1 of 1 names, leaves out 2 of 7 images" in capsys.readouterr().err


def spelled(name: str, draw: random.Random) -> str:
    """Another spelling of the same image."""
    folder, file = name.split("/")
    stem = file.rpartition(".")[0]
    blank, suffix = draw.choice([" ", "_", "%20"]), draw.choice([".png", ".jpg", ".JPG", ""])
    head = draw.choice(["", f"{folder}/", f"set/{folder}/", f"{folder}\\"])
    return (head + stem + suffix).replace(" ", blank)


def test_random_sets_in_random_spellings() -> None:
    """Beside a search of every line among all images, letter by letter."""
    draw = random.Random(0)
    people = [f"{a} {b}" for a in ("Ann", "Bob", "Cy") for b in ("Lee", "Li", "Lo")]
    for _ in range(50):
        names = [f"{who}/{who}_{n}.jpg" for who in people for n in draw.sample(range(30), 4)]
        noise = draw.sample(names, 6)
        absent = [f"{who}/{who}_{n}.jpg" for who in people[:3] for n in (31, 32)]
        lines = [spelled(name, draw) for name in noise + absent]
        draw.shuffle(lines)
        assert found("\n".join(lines), names) == sorted(noise)


@pytest.mark.parametrize(
    "line", ["Adam_Brody_1.png, Adam_Brody_2.png", "1\tAdam_Brody_1.png\tRobert_Di_Niro_2.png"]
)
def test_a_line_of_several_names_is_refused(line: str) -> None:
    """One of them would be left out, and `found 1 of 1` said."""
    with pytest.raises(
        InputError, match=r"line 1: .* names several images, 'Adam_Brody_1.png' and"
    ):
        found(f"{line}\n", KIT)
