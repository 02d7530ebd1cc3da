"""The index of an image set: one row an image, in the order of its source.

Kept as Parquet through pyarrow alone (no pandas: a stage that only copies bytes starts in tenths of
a second), with a fixed layout and no compression so that equal rows give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.files import atomic_file

IN_OWN_FILE = -1  # offset of an image that is a file of its own, not a slice of a shard
UNKNOWN_LABEL = -1


@dataclass(frozen=True)
class Index:
    """Columns of equal length n.

    Attributes:
        path: image file, or ZIP shard that holds the image, relative to the set's folder.
        offset: first byte of the image within `path`; IN_OWN_FILE if it is the whole file.
        length: bytes of the encoded image.
        label: class of a training set (0..C-1) or UNKNOWN_LABEL.
        width, height: pixels.
        sha1: of the encoded bytes, hexadecimal.
        source: the record this came from, as one would name it to a person.
        record: row of the same image in the set's unpacked index (align leaves rows out).
        landmarks: float32 [n, 10], x1 y1 .. x5 y5 in pixels of the unpacked image
            (left eye, right eye, nose, left and right mouth corner of the image); NaN if unknown.
    """

    path: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    label: np.ndarray
    width: np.ndarray
    height: np.ndarray
    sha1: np.ndarray
    source: np.ndarray
    record: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.path)

    def take(self, rows: np.ndarray) -> Index:
        """The index of `rows`, in their order."""
        return Index(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def write_index(path: Path, index: Index) -> None:
    columns = {f.name: getattr(index, f.name) for f in fields(Index)}
    columns["landmarks"] = np.asarray(columns["landmarks"], np.float32).reshape(len(index), 10)
    write_table(path, columns)


def read_index(path: Path) -> Index:
    """Raise InputError if the file is missing or is no index."""
    columns = read_table(path)
    missing = [f.name for f in fields(Index) if f.name not in columns]
    if missing:
        raise InputError(
            path, f"no column {', '.join(missing)}", "run the stage that wrote it again"
        )
    return Index(**{f.name: columns[f.name] for f in fields(Index)})


def write_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write equal-length columns: 1-D arrays of numbers, booleans or str, 2-D arrays of numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = []
    for values in columns.values():
        values = np.asarray(values)
        if values.ndim == 2:
            flat = pa.array(values.reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        elif values.dtype.kind in "OUT":
            arrays.append(pa.array([str(v) for v in values], pa.string()))
        else:
            arrays.append(pa.array(values))
    table = pa.table(arrays, names=list(columns))
    with atomic_file(path) as scratch:
        pq.write_table(table, scratch, compression="none", store_schema=False)


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Columns by name: numbers as arrays, text as object arrays of str, lists as 2-D arrays."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, memory_map=True)
    except FileNotFoundError:
        raise InputError(path, "file not found", "run the stage that writes it") from None
    except pa.ArrowInvalid as fault:
        raise InputError(path, f"not a Parquet table ({fault})", "run its stage again") from None
    return {name: _to_numpy(table.column(name), len(table)) for name in table.column_names}


def _to_numpy(column, rows: int) -> np.ndarray:
    import pyarrow as pa

    column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type):
        values = column.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(rows, -1) if rows else values.reshape(0, 10)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return column.to_numpy(zero_copy_only=False)
