"""Verification packs: what is in them, in every dress, and what is wrong with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.datasets._source import Source
from stages.datasets.bin import Params, read
from tests.datasets.samples import jpeg, write

IMAGES = [jpeg(n) for n in range(4)]


def pack(folder: Path, content: Any, protocol: int = 4) -> Source:
    return read(write(folder / "faces.bin", pickle.dumps(content, protocol)), Params())


def check(source: Source) -> None:
    assert [record.payload for record in source.records] == IMAGES
    assert {record.label for record in source.records} == {UNKNOWN_LABEL}
    np.testing.assert_array_equal(source.tables["pairs"]["first"], [0, 2])
    np.testing.assert_array_equal(source.tables["pairs"]["second"], [1, 3])
    np.testing.assert_array_equal(source.tables["pairs"]["same"], [True, False])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        tuple(IMAGES),
        [bytearray(image) for image in IMAGES],
        [image.decode("latin1") for image in IMAGES],
        [np.frombuffer(image, np.uint8) for image in IMAGES],
        [np.frombuffer(image, np.int8) for image in IMAGES],
    ],
    ids=["bytes", "tuple", "bytearray", "text", "uint8", "int8"],
)
def test_every_dress_of_an_image(tmp_path: Path, images: Any, protocol: int) -> None:
    check(pack(tmp_path, (images, [True, False]), protocol))


@pytest.mark.parametrize(
    "same", [[1, 0], (True, False), [np.bool_(True), np.bool_(False)], np.array([True, False])]
)
def test_every_dress_of_the_answers(tmp_path: Path, same: Any) -> None:
    source = pack(tmp_path, [IMAGES, same])
    check(source)
    assert source.tables["pairs"]["same"].dtype == bool
    assert source.tables["pairs"]["first"].dtype == np.int64


def test_a_pack_of_python_2(tmp_path: Path) -> None:
    """cPickle.dump((images, same), protocol=2) of Python 2: str is the opcode BINSTRING."""
    images = b"".join(b"T" + len(i).to_bytes(4, "little") + i for i in IMAGES)
    content = b"\x80\x02](" + images + b"e](\x88\x89e\x86."
    check(read(write(tmp_path / "faces.bin", content), Params()))


def test_an_image_of_several_pairs_is_one_record(tmp_path: Path) -> None:
    a, b, c = IMAGES[:3]
    source = pack(tmp_path, ([a, b, c, a, b, b], [True, False, True]))
    assert [record.payload for record in source.records] == [a, b, c]
    np.testing.assert_array_equal(source.tables["pairs"]["first"], [0, 2, 1])
    np.testing.assert_array_equal(source.tables["pairs"]["second"], [1, 0, 1])


@pytest.mark.parametrize(
    ("content", "problem", "record"),
    [
        ((IMAGES[:3], [True]), "an odd number", None),
        ((IMAGES, [True]), "4 images for 1 pairs", None),
        ((IMAGES, [True, False, True]), "4 images for 3 pairs", None),
        ((IMAGES, [True, 2]), "neither same nor different", "pair 1"),
        ((IMAGES, [True, "no"]), "neither same nor different", "pair 1"),
        ((IMAGES, [None, True]), "neither same nor different", "pair 0"),
        (([*IMAGES[:3], 7], [True, False]), "int, not the bytes", "image 3"),
        (([*IMAGES[:3], "\u20ac"], [True, False]), "str, not the bytes", "image 3"),
        (([np.zeros((2, 2), np.uint8)] * 4, [True, False]), "not the bytes", "image 0"),
        (IMAGES, "not a pair", None),
        ((IMAGES, [True, False], 3), "not a pair", None),
        ((b"abcd", [True, False]), "not a pair of lists", None),
        ({"images": IMAGES}, "not a pair", None),
    ],
)
def test_what_is_wrong(tmp_path: Path, content: Any, problem: str, record: str | None) -> None:
    with pytest.raises(InputError) as caught:
        pack(tmp_path, content)
    assert problem in caught.value.problem
    assert caught.value.record == record
    assert caught.value.file == str(tmp_path / "faces.bin")
    assert "pack" in caught.value.remedy


def test_missing_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "lfw.bin", Params())
    assert "verification pack" in caught.value.remedy
    assert "insightface" in caught.value.remedy


def test_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pickle of plain data"):
        read(write(tmp_path / "faces.bin", jpeg(0)), Params())
