"""Columns beside the vectors of a file of features that may tell whose rows these are.

People call the names of their rows whatever they like (`ids`, `keys`, `image_path`). A file that
has such a column does name its images, and the order of its rows must not be taken on trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from stages.core.errors import InputError

OBJECTS = "Python objects"  # stands for a column that cannot be read without running it
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def column_kind(archive: Any, name: str) -> str:
    """Kind of the array `name` of an open .npz if it is a column of text, whole numbers or objects.

    Its dtype's letter, "U", "S", "i", "u" or "O"; "" for any other array. Only its header is read.
    """
    try:
        with archive.zip.open(f"{name}.npy") as file:
            shape, _, kind = HEADERS[npy.read_magic(file)](file)
    except (KeyError, ValueError):
        return ""
    is_column = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    return kind.kind if is_column and kind.kind in "USiuO" else ""


def other_columns(path: Path, held: Mapping[str, Any], count: int) -> dict[str, list[str]]:
    """The columns of `count` strings in `held`, by key; an empty list for one of `OBJECTS`.

    Raise InputError if a column of whole numbers has each row number once, from 0 or from 1, and in
    another order: a shuffled data loader writes such a column beside its rows.
    """
    columns = {}
    for key, values in held.items():
        if isinstance(values, str) and values == OBJECTS:
            columns[str(key)] = []
        if isinstance(values, np.ndarray) and values.shape in ((count,), (count, 1)):
            values = values.reshape(-1)
            if values.dtype.kind in "iu":
                _refuse_numbering(path, str(key), values)
            values = values.tolist() if values.dtype.kind in "US" else None
        if isinstance(values, list | tuple) and len(values) == count:
            if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
                _refuse_numbering(path, str(key), np.array(values, object))
            elif all(isinstance(value, str | bytes) for value in values):
                columns[str(key)] = [
                    value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
                    for value in values
                ]
    return columns


def _refuse_numbering(path: Path, key: str, values: np.ndarray) -> None:
    order = np.sort(values)
    if len(values) < 2 or np.array_equal(order, values) or order[0] not in (0, 1):
        return
    if np.array_equal(order, np.arange(len(order)) + order[0]):
        problem = (
            f"numbers the rows in another order than they are in: row 0 has the number {values[0]}"
        )
        remedy = f"save embedding[numpy.argsort({key})], or leave `{key}` out if it is no order"
        raise InputError(path, problem, remedy, key)
