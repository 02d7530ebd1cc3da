"""MATLAB 5 files (what `save -v7` and older write): numbers, text, and cells of these.

SciPy reads them too, but a damaged file makes it read foreign memory and crash without a word; here
every length is checked. Format: MathWorks, "MAT-File Format", chapter 1, Level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from stages.core.bounded import bounded
from stages.core.errors import InputError

HEADER = 128  # bytes; the last four are version and byte order
VERSION = 0x0100
ORDERS = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED = 14, 15
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, CHAR, FIRST_NUMERIC, LAST_NUMERIC = 1, 4, 6, 15  # classes of arrays
ALIGNMENT = 8  # bytes

Value = np.ndarray | str | list | None


class _BadError(ValueError):
    """The file is not as the format says."""


def load_mat(path: Path, remedy: str) -> dict[str, Value]:
    """Variables by name: numbers as 1-D arrays in MATLAB's order (columns first), a line of text
    as str, cell arrays as lists of these, anything else as None.

    Raises:
        InputError: no file, not such a file, cut short or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise InputError(path, fault.strerror.lower(), remedy) from None
    order = ORDERS.get(data[HEADER - 2 : HEADER])
    if order is None or not data.startswith(b"MATLAB"):
        raise InputError(path, "not a MATLAB 5 file", remedy)
    if struct.unpack_from(f"{order}H", data, HEADER - 4)[0] != VERSION:
        raise InputError(path, "a MATLAB 7.3 file", "save it in MATLAB with `save -v7`")
    try:
        with bounded(path, remedy):
            return dict(_variables(memoryview(data)[HEADER:], order))
    except (_BadError, zlib.error, UnicodeDecodeError) as fault:
        raise InputError(path, f"damaged: {fault}", remedy) from None


def _variables(data: memoryview, order: str) -> Iterator[tuple[str, Value]]:
    for kind, content in _elements(data, order):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            content = memoryview(unpacker.decompress(content))
            if not unpacker.eof:
                raise _BadError("a compressed variable is cut short")
            kind, content = next(_elements(content, order), (0, content))
        if kind == MATRIX:
            yield _array(content, order, in_cell=False)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Data elements one after another: type and content."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            _fail(f"{len(data) - at} bytes where an element begins")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        begin = at + 8
        if kind >> 16:  # small: size and type share a word, the content is the next
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                _fail(f"a small element of {size} bytes")
        end = begin + size
        if end > len(data):
            _fail(f"{size} bytes where {len(data) - begin} are left")
        yield kind, data[begin:end]
        at = end if kind == COMPRESSED else end + -end % ALIGNMENT


def _array(data: memoryview, order: str, in_cell: bool) -> tuple[str, Value]:
    """Name and value of a matrix element."""
    parts = _elements(data, order)
    flags, sizes, name = (next(parts, (0, data[:0]))[1] for _ in range(3))
    if len(flags) != 8 or len(sizes) % 4:
        _fail("an array without flags and dimensions")
    kind = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    shape = np.frombuffer(sizes, f"{order}i4").tolist()
    count = math.prod(shape)
    name = bytes(name).decode("ascii")
    if kind == CELL and not in_cell:
        cells = [_array(c, order, in_cell=True)[1] for k, c in parts if k == MATRIX]
        if len(cells) != count:
            _fail(f"{name} has {len(cells)} cells, not {count}")
        return name, cells
    stored, content = next(parts, (0, data[:0]))
    if kind == CHAR and shape[0] <= 1:
        return name, _text(stored, content, order)
    if not FIRST_NUMERIC <= kind <= LAST_NUMERIC:
        return name, None
    if count and (stored not in NUMBERS or len(content) != count * int(NUMBERS[stored][1])):
        _fail(f"{name} has {len(content)} bytes for {count} numbers")
    return name, np.frombuffer(content, order + NUMBERS.get(stored, "f8"), count)


def _text(stored: int, content: memoryview, order: str) -> str:
    if len(content) == 0:
        return ""
    codec = TEXTS.get(stored) or _fail(f"text of type {stored}")
    ending = {"<": "-le", ">": "-be"}[order] if codec[-2:] in ("16", "32") else ""
    return bytes(content).decode(codec + ending)


def _fail(problem: str) -> NoReturn:
    raise _BadError(problem)
