"""A folder of people, whole or in two parts that share none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from stages.core.errors import InputError
from stages.datasets.folder import Params, read
from tests.datasets.samples import jpeg, png, write


def people(root: Path, names: list[str], images: int = 2) -> Path:
    for person, name in enumerate(names):
        for n in range(images):
            write(root / name / f"{n}.jpg", jpeg(person * images + n))
    return root


def found(root: Path, params: Params) -> dict[str, set[int]]:
    """Labels of each person."""
    labels: dict[str, set[int]] = {}
    for record in read(root, params).records:
        labels.setdefault(record.name.split("/")[0], set()).add(record.label)
    return labels


def test_people_and_images_are_sorted_by_name(tmp_path: Path) -> None:
    people(tmp_path, ["b", "a", "10", "9"])
    source = read(tmp_path, Params())
    assert [r.name for r in source.records] == [
        f"{p}/{n}.jpg" for p in ("10", "9", "a", "b") for n in (0, 1)
    ]
    assert [r.label for r in source.records] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert next(iter(source.records)).payload == jpeg(4)
    assert len(source.records) == 8


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    people(tmp_path, ["a"])
    write(tmp_path / "readme.txt", "not a person")
    write(tmp_path / "a" / "notes.txt", "no image")
    write(tmp_path / ".cache" / "0.jpg", jpeg(0))
    write(tmp_path / "a" / "2.PNG", png(2))
    write(tmp_path / "a" / "deeper" / "3.jpg", jpeg(3))
    assert [r.name for r in read(tmp_path, Params()).records] == ["a/0.jpg", "a/1.jpg", "a/2.PNG"]


def test_a_person_has_so_many_images_at_most(tmp_path: Path) -> None:
    people(tmp_path, ["a"], images=5)
    people(tmp_path, ["b"], images=2)
    write(tmp_path / "a" / "0.txt", "no image")
    names = [record.name for record in read(tmp_path, Params(most=3)).records]
    assert names == ["a/0.jpg", "a/1.jpg", "a/2.jpg", "b/0.jpg", "b/1.jpg"]


def test_the_parts_share_no_person_and_miss_none(tmp_path: Path) -> None:
    names = [f"person {n}" for n in range(60)]
    people(tmp_path, names, images=1)
    train = found(tmp_path, Params(part="train", held_out=0.3))
    test = found(tmp_path, Params(part="test", held_out=0.3))
    assert train.keys() & test.keys() == set()
    assert train.keys() | test.keys() == set(names)
    assert 10 <= len(test) <= 26
    for part in (train, test):
        assert sorted(part) == list(part)
        assert [labels for labels in part.values()] == [{n} for n in range(len(part))]


def test_who_is_held_out_is_a_matter_of_the_name(tmp_path: Path) -> None:
    """A person is held out if the first 64 bits of the SHA-1 of the name are below the share."""
    names = [f"person {n}" for n in range(30)]
    people(tmp_path, names, images=1)
    below = {n for n in names if int(hashlib.sha1(n.encode()).hexdigest()[:16], 16) / 2**64 < 0.4}
    assert found(tmp_path, Params(part="test", held_out=0.4)).keys() == below
    people(tmp_path, [f"newcomer {n}" for n in range(30)], images=1)
    assert below <= found(tmp_path, Params(part="test", held_out=0.4)).keys()
    assert not below & found(tmp_path, Params(part="train", held_out=0.4)).keys()


@pytest.mark.parametrize(
    "options", [{"part": "half"}, {"held_out": 0.2}, {"part": "test", "held_out": 1.0}]
)
def test_options_are_checked(options: dict) -> None:
    with pytest.raises(ValidationError):
        Params(**options)


def test_missing_or_empty(tmp_path: Path) -> None:
    for root, problem in ((tmp_path / "nowhere", "not found"), (tmp_path, "no images")):
        with pytest.raises(InputError, match=problem) as caught:
            read(root, Params())
        assert "a folder of people" in caught.value.remedy


def test_an_image_that_has_gone(tmp_path: Path) -> None:
    source = read(people(tmp_path, ["a", "b"]), Params())
    (tmp_path / "b" / "0.jpg").unlink()
    with pytest.raises(InputError) as caught:
        list(source.records)
    assert caught.value.record == "b/0.jpg"


def test_people_without_images_are_no_class_and_what_is_left_out_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    people(tmp_path, ["a", "c"])
    (tmp_path / "b/deeper").mkdir(parents=True)
    (tmp_path / "c/photo.webp").touch()
    assert found(tmp_path, Params()) == {"a": {0}, "c": {1}}
    assert "left out 2 files and folders" in capsys.readouterr().err


def test_a_name_that_is_not_utf_8_is_shown(tmp_path: Path) -> None:
    people(tmp_path, ["a"])
    (tmp_path / os.fsdecode(b"notes\xe9.txt")).touch()
    assert found(tmp_path, Params()) == {"a": {0}}  # what is not read may be called anything
    (tmp_path / os.fsdecode(b"Jos\xe9")).mkdir()
    with pytest.raises(InputError, match=r"Jos\\xe9.*not UTF-8.*rename it"):
        read(tmp_path, Params())
