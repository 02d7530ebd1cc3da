"""MATLAB files as SciPy reads them, and damaged ones, which make SciPy crash."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from stages.core.errors import InputError
from stages.datasets._mat import load_mat
from tests.datasets.samples import write

NAMES = st.text(st.characters(codec="latin1", exclude_categories=["Cc"]), max_size=12)
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def cells(values: list) -> np.ndarray:
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def scipys(path: Path, name: str) -> Any:
    """The same value as SciPy gives it, in the shape that load_mat has."""
    value = loadmat(path)[name]
    if value.dtype == object:
        return [str(cell.ravel()[0]) if cell.size else "" for cell in value.ravel(order="F")]
    return value.ravel(order="F")


@given(
    names=st.lists(NAMES, max_size=6),
    shape=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    dtype=st.sampled_from(DTYPES),
    compressed=st.booleans(),
)
def test_values_are_those_of_scipy(tmp_path_factory, names, shape, dtype, compressed) -> None:
    path = tmp_path_factory.mktemp("mat") / "list.mat"
    numbers = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    savemat(path, {"names": cells(names), "numbers": numbers}, do_compression=compressed)
    ours = load_mat(path, "get it again")
    assert ours.keys() == {"names", "numbers"}
    assert ours["names"] == names == scipys(path, "names")
    np.testing.assert_array_equal(ours["numbers"], scipys(path, "numbers"))
    np.testing.assert_array_equal(ours["numbers"], numbers.ravel(order="F"))


def test_what_is_neither_numbers_nor_text_is_none(tmp_path: Path) -> None:
    values = {"struct": {"a": 1}, "grid": np.array(["ab", "cd"]), "nested": cells([cells(["a"])])}
    savemat(tmp_path / "a.mat", {**values, "text": "one line", "flag": True})
    expected = {"struct": None, "grid": None, "nested": [None], "text": "one line", "flag": [1]}
    assert load_mat(tmp_path / "a.mat", "") == expected


def element(order: str, kind: int, content: bytes) -> bytes:
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def small(order: str, kind: int, content: bytes) -> bytes:
    tag = struct.pack(f"{order}I", len(content) << 16 | kind)
    return tag + content + bytes(4 - len(content))


def matrix(order: str, kind: int, shape: list[int], name: bytes, content: bytes) -> bytes:
    flags = element(order, 6, struct.pack(f"{order}II", kind, 0))
    sizes = element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
    named = small(order, 1, name) if len(name) <= 4 else element(order, 1, name)
    return element(order, 14, flags + sizes + named + content)


def mat_file(order: str, *variables: bytes) -> bytes:
    mark = b"IM" if order == "<" else b"MI"
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark
    return head + b"".join(variables)


@pytest.mark.parametrize("order", ["<", ">"])
def test_files_of_matlab(tmp_path: Path, order: str) -> None:
    """As MATLAB writes them: UTF-16 text, doubles kept in the smallest integer, either byte order.

    Composed here from the format's description, so that it is no mirror of SciPy's habits; SciPy
    itself reads 16-bit text right as far as it is ASCII.
    """
    codec = "utf-16-le" if order == "<" else "utf-16-be"
    names = ["a.jpg", "\u00e9t\u00e9.jpg", "b"]
    texts = [
        matrix(order, 4, [1, len(name)], b"", element(order, 4, name.encode(codec)))
        for name in names
    ]
    ids = struct.pack(f"{order}4H", 5, 300, 3, 9)
    content = mat_file(
        order,
        matrix(order, 1, [3, 1], b"gallery_set", b"".join(texts)),
        matrix(order, 6, [2, 2], b"ids", element(order, 4, ids)),
        matrix(order, 9, [1, 3], b"tiny", small(order, 2, b"\1\2\3")),
        matrix(order, 6, [0, 0], b"none", element(order, 9, b"")),
    )
    path = write(tmp_path / "a.mat", content)
    ours = load_mat(path, "")
    assert ours["gallery_set"] == names
    assert ours["gallery_set"][::2] == scipys(path, "gallery_set")[::2]
    assert ours["ids"].tolist() == [5, 300, 3, 9] == scipys(path, "ids").tolist()
    assert ours["tiny"].tolist() == [1, 2, 3]
    assert ours["none"].tolist() == []


def fault(folder: Path, content: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        load_mat(write(folder / "a.mat", content), "get it again")
    assert caught.value.file == str(folder / "a.mat")
    return caught.value


@pytest.mark.parametrize("content", [b"", b"junk" * 50, mat_file("<")[:100], bytes(200)])
def test_no_matlab_file(tmp_path: Path, content: bytes) -> None:
    error = fault(tmp_path, content)
    assert (error.problem, error.remedy) == ("not a MATLAB 5 file", "get it again")


def test_matlab_7_3(tmp_path: Path) -> None:
    content = b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM"
    assert "save -v7" in fault(tmp_path, content).remedy


NUMBER = element("<", 9, struct.pack("<d", 1))


@pytest.mark.parametrize(
    ("variable", "problem"),
    [
        (matrix("<", 6, [1, 2], b"x", NUMBER), "x has 8 bytes for 2 numbers"),
        (matrix("<", 6, [-1, -1], b"x", b""), "x has 0 bytes for 1 numbers"),
        (matrix("<", 6, [1, 1], b"x", element("<", 99, bytes(8))), "for 1 numbers"),
        (matrix("<", 1, [2, 1], b"x", matrix("<", 6, [1, 1], b"", NUMBER)), "1 cells, not 2"),
        (matrix("<", 4, [1, 1], b"x", element("<", 9, bytes(8))), "text of type 9"),
        (matrix("<", 4, [1, 2], b"x", element("<", 16, b"\xff\xfe")), "utf-8"),
        (matrix("<", 4, [1, 2], b"x", element("<", 17, b"abc")), "utf-16"),
        (matrix("<", 6, [1, 1], b"\xff\xff", NUMBER), "ascii"),
        (element("<", 14, b""), "without flags"),
        (element("<", 14, bytes(5)), "where an element begins"),
        (element("<", 15, b"not zlib"), "-3"),
        (struct.pack("<II", 14, 99) + bytes(8), "99 bytes where 8 are left"),
        (struct.pack("<II", 7 << 16 | 1, 0), "a small element of 7 bytes"),
    ],
)
def test_what_is_damaged(tmp_path: Path, variable: bytes, problem: str) -> None:
    error = fault(tmp_path, mat_file("<", variable))
    assert error.problem.startswith("damaged: ")
    assert problem in error.problem
    assert error.remedy == "get it again"


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_mat(tmp_path / "nowhere.mat", "")


@given(data=st.data())
def test_any_damage_is_named_or_harmless(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    values = {"names": cells(["a.jpg", "b.jpg"]), "ids": np.arange(9), "s": {"a": "b"}}
    savemat(path, values, do_compression=data.draw(st.booleans()))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(120, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(128, len(content)))])
    with suppress(InputError):
        assert len(load_mat(path, "")) <= 3
