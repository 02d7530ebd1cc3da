"""InsightFace verification packs (lfw.bin, cfp_fp.bin, agedb_30.bin, ..).

A pickle of (list of encoded images, list of bool): images 2k and 2k + 1 are pair k, which is of one
person if the k-th bool is true. Packs written by Python 2 and by NumPy are read as well.
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._pickle import load_plain
from stages.datasets._source import Record, Records, Source

ORIGIN = (
    "put an InsightFace verification pack there (lfw.bin, agedb_30.bin, ..; they come with the "
    "training packs): github.com/deepinsight/insightface, recognition/_datasets_"
)
GIVES = ("pairs",)  # lists, and what is known of its images


class Params(Section):
    """A pack has no options of its own."""


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The distinct images of the pack `root`, by first appearance, and its table `pairs`.

    An image that several pairs share is one record; `pairs` has one row a pair, in the order of
    the pack (ten contiguous folds).

    Args:
        reader: of no consequence here.

    Raises:
        InputError: the file is missing, is no such pickle, or its two lists do not fit.
    """
    images, same = _lists(root)
    row_of: dict[bytes, int] = {}
    rows = np.empty(len(images), np.int64)
    records: list[Record] = []
    for number, item in enumerate(images):
        image = _encoded(root, number, item)
        rows[number] = row_of.setdefault(hashlib.sha1(image).digest(), len(records))
        if rows[number] == len(records):
            records.append(Record(f"image {number}", UNKNOWN_LABEL, image))
    pairs = {"first": rows[::2], "second": rows[1::2], "same": same}

    def names() -> Iterator[str]:
        return (record.name for record in records)

    return Source(Records(len(records), lambda: iter(records), names), {"pairs": pairs})


def _lists(path: Path) -> tuple[list, np.ndarray]:
    content = load_plain(path, ORIGIN)
    if not (isinstance(content, tuple | list) and len(content) == 2):
        raise InputError(path, "not a pair (images, same)", ORIGIN)
    images, same = content
    if not all(isinstance(part, list | tuple | np.ndarray) for part in content):
        raise InputError(path, "not a pair of lists (images, same)", ORIGIN)
    if len(images) % 2:
        raise InputError(path, f"{len(images)} images, an odd number", "get the pack again")
    if len(images) != 2 * len(same):
        problem = f"{len(images)} images for {len(same)} pairs, not two a pair"
        raise InputError(path, problem, "get the pack again")
    for number, value in enumerate(same):
        if not (isinstance(value, bool | int | np.bool_ | np.integer) and value in (0, 1)):
            problem = f"{reprlib.repr(value)} says neither same nor different"
            raise InputError(path, problem, "get the pack again", f"pair {number}")
    return images, np.array(same, bool)


def _encoded(path: Path, number: int, item: Any) -> bytes:
    if isinstance(item, bytes | bytearray):
        return bytes(item)
    if isinstance(item, str):  # bytes of Python 2 that were read as text
        try:
            return item.encode("latin1")
        except UnicodeEncodeError:
            pass
    if isinstance(item, np.ndarray) and item.dtype.itemsize == 1 and item.ndim == 1:
        return item.tobytes()
    problem = f"{type(item).__name__}, not the bytes of an encoded image"
    raise InputError(path, problem, "get the pack again", f"image {number}")
