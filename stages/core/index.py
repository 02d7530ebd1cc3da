"""The index of an image set: one row an image, in the order of its source.

Kept as Parquet through pyarrow alone (no pandas: a stage that only copies bytes starts in tenths of
a second), with a fixed layout and no compression so that equal rows give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.files import atomic_file

PIECE = 1 << 18  # rows of a column that is read piece by piece
IN_OWN_FILE = -1  # offset of an image that is a file of its own, not a slice of a shard
UNKNOWN_LABEL = -1
LAST_LABEL = 2**31 - 1  # of a class: a label stands for as many class centres


class Texts(Sequence):
    """A column of text in one piece: a Python string for each of millions of rows would take
    gigabytes. To NumPy it is an array of objects.

    Args:
        ends: byte at which each row ends, after a 0; int64.
        data: all rows, UTF-8.
    """

    dtype = np.dtype(object)

    def __init__(self, ends: np.ndarray, data: bytes | bytearray) -> None:
        self.ends = ends
        self.data = data

    @classmethod
    def of(cls, texts: Iterable[object]) -> Texts:
        encoded = [str(text).encode() for text in texts]
        return cls(np.cumsum([0, *map(len, encoded)], dtype=np.int64), b"".join(encoded))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, rows: int | slice | np.ndarray) -> str | np.ndarray:
        if not isinstance(rows, int | np.integer):
            return np.asarray(self)[rows]
        row = range(len(self))[rows]
        return self.data[self.ends[row] : self.ends[row + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        return (self.data[a:b].decode() for a, b in pairwise(self.ends.tolist()))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.tolist(), object).astype(dtype or object, copy=False)

    def tolist(self) -> list[str]:
        return list(self)


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


def write_table(path: Path, columns: dict[str, np.ndarray | Texts]) -> None:
    """Write equal-length columns: 1-D of numbers, booleans or text, 2-D arrays of numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table([_to_arrow(column) for column in columns.values()], names=list(columns))
    with atomic_file(path) as scratch:
        pq.write_table(table, scratch, compression="none", store_schema=False)


def _to_arrow(column: np.ndarray | Texts):
    """By its buffers: pyarrow's own conversions import pandas, half a second of every stage."""
    import pyarrow as pa

    values = column if isinstance(column, Texts) else np.asarray(column)
    if not isinstance(values, Texts) and values.dtype.kind in "OUT":
        values = Texts.of(values)
    if isinstance(values, Texts):
        buffers, kind = [values.ends, values.data], pa.large_string()
    elif values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(_to_arrow(values.reshape(-1)), values.shape[1])
    elif values.dtype == bool:
        buffers, kind = [np.packbits(values, bitorder="little")], pa.bool_()
    else:
        buffers, kind = [np.ascontiguousarray(values)], pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, *map(pa.py_buffer, buffers)])


def read_table(path: Path, wanted: Sequence[str] = ()) -> dict[str, np.ndarray | Texts]:
    """Columns by name: numbers as arrays, text as Texts, lists as 2-D arrays.

    Args:
        wanted: names of the columns to read; all of them where none is named.

    Raises:
        InputError: the file is missing or damaged, or lacks a column of `wanted`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(path):
        file = pq.ParquetFile(path, memory_map=True)
        there, rows = file.schema_arrow.names, file.metadata.num_rows
        if missing := [name for name in wanted if name not in there]:
            raise ValueError(f"no column {', '.join(missing)}")
        names = wanted or there
        # One after another: what a column needs meanwhile is free again for the next.
        columns = {name: _to_numpy(file.read([name]).column(0), rows) for name in names}
        pa.default_memory_pool().release_unused()
    return columns


def read_pieces(path: Path, column: str) -> Iterator[np.ndarray | Texts]:
    """A column of one dimension in pieces of PIECE rows, in the memory of one piece.

    Raise InputError as `read_table` does.
    """
    import pyarrow.parquet as pq

    with _reading(path):
        file = pq.ParquetFile(path, memory_map=True)
        if column not in file.schema_arrow.names:
            raise ValueError(f"no column {column}")
        batches = file.iter_batches(PIECE, columns=[column])
    while True:
        with _reading(path):
            batch = next(batches, None)
            if batch is None:
                return
            piece = _piece(batch.column(0))
        yield piece


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Faults of a table that is read are InputErrors."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(path, "file not found", "run the stage that writes it") from None
    except Exception as fault:  # a damaged table fails in a dozen ways, none of them ours
        raise InputError(path, f"not a Parquet table ({fault})", "run its stage again") from None


def _to_numpy(column, rows: int) -> np.ndarray | Texts:
    """By its buffers, for the same reason."""
    import pyarrow as pa

    kind = column.type
    pieces = [_piece(chunk) for chunk in column.chunks]
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        return np.concatenate(pieces).reshape(rows, -1) if rows else np.empty((0, 10), np.float32)
    if pa.types.is_string(kind):
        return _joined(pieces)
    return np.concatenate(pieces)


def _joined(pieces: list[Texts]) -> Texts:
    lengths = [np.diff(piece.ends) for piece in pieces]
    ends = np.concatenate([np.zeros(1, np.int64), *lengths]).cumsum()
    return Texts(ends, b"".join(piece.data for piece in pieces))


def _piece(array) -> np.ndarray | Texts:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type) or pa.types.is_list(array.type):
        return _piece(array.flatten())
    if pa.types.is_string(array.type):
        _, ends, text = array.buffers()
        ends = np.frombuffer(ends, np.int32)[array.offset : array.offset + len(array) + 1]
        data = text.slice(ends[0], ends[-1] - ends[0]).to_pybytes() if text else b""
        if not data.isascii():
            data.decode()  # fails here, where the file has a name, rather than at some text of it
        return Texts(ends - ends[0], data)
    if pa.types.is_boolean(array.type):
        return np.from_dlpack(array.cast(pa.uint8())).astype(bool)
    return np.from_dlpack(array)
