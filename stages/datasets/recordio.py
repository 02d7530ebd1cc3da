"""RecordIO packs of InsightFace: train.rec, train.idx, property.

A record is one or more chunks: uint32 magic, uint32 (continuation flag in the top 3 bits, length in
the low 29), payload, zeros up to a multiple of 4 bytes. A payload that holds the magic number at a
multiple of 4 bytes is cut there, and the magic left out, so that within the file it marks chunks
alone. The .idx is text, `key TAB byte offset` a line.

Payload: uint32 flag, float32 label, uint64 id, uint64 id2; with flag > 0 that many float32 labels
follow and replace `label`; the rest is the encoded image. Format: dmlc-core `recordio.h` and
`mxnet.recordio`; record 0 as InsightFace's `face2rec2.py` writes it.
"""

from __future__ import annotations

import math
import mmap
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.params import Section
from stages.datasets._source import Record, Records, Source

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
WORD = 4  # chunks begin and are padded to multiples of this many bytes
LENGTH_BITS = 29
LONGEST = (1 << LENGTH_BITS) - 1  # bytes of a chunk
WHOLE, FIRST, MIDDLE, LAST = range(4)  # continuation flags
CHUNK = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")
PADDING = [b"", b"\0\0\0", b"\0\0", b"\0"]  # by length modulo WORD
BUFFER = 1 << 20  # bytes written at once
SCAN_WORDS = 1 << 24  # words looked at in one go while a pack without .idx is scanned

SCANNED = "get the pack again, or remove the .idx: the .rec is scanned then"
ORIGIN = (
    "put an InsightFace training pack there (train.rec, train.idx, property): "
    "github.com/deepinsight/insightface, recognition/_datasets_"
)
DAMAGED = "the .rec is damaged: get it again"


class Params(Section):
    """A pack has no options of its own."""


class Header(NamedTuple):
    """Header of an image record; `label` is a float, or float32 [flag] if flag > 0."""

    flag: int
    label: float | np.ndarray
    id: int
    id2: int


def pack(flag: int, label: float | Sequence[float], id: int, id2: int, image: bytes) -> bytes:
    """Payload of an image record.

    Args:
        flag: 0 for one label, else the number of labels.
        label: one number, or a sequence of `flag` numbers; kept as float32.
        id, id2: numbers of the record, uint64.
        image: encoded image; may be empty.

    Raises:
        ValueError: flag and the number of labels disagree.
    """
    labels = np.asarray(label, "<f4")
    if flag != (labels.size if labels.ndim else 0):
        raise ValueError(f"flag {flag} with {labels.size if labels.ndim else 'one scalar'} labels")
    if flag == 0:
        return HEADER.pack(0, label, id, id2) + image
    return HEADER.pack(flag, 0.0, id, id2) + labels.tobytes() + image


def unpack(payload: bytes | memoryview) -> tuple[Header, bytes | memoryview]:
    """Header and image bytes of a payload; the image is a slice of it, of the same type.

    Raises:
        ValueError: the payload is shorter than its header says.
    """
    try:
        flag, label, id, id2 = HEADER.unpack_from(payload)
    except struct.error:
        raise ValueError(f"{len(payload)} bytes are too few for a header") from None
    if flag == 0:
        return Header(0, label, id, id2), payload[HEADER.size :]
    end = HEADER.size + 4 * flag
    if len(payload) < end:
        raise ValueError(f"{len(payload)} bytes are too few for {flag} labels")
    labels = np.frombuffer(payload[HEADER.size : end], "<f4")
    return Header(flag, labels, id, id2), payload[end:]


class Writer:
    """Writes a .rec and its .idx, byte for byte as mxnet.recordio.MXIndexedRecordIO does.

    A context manager; both files appear when it is left without an error.
    """

    def __init__(self, rec_path: str | Path, idx_path: str | Path) -> None:
        self._paths = Path(rec_path), Path(idx_path)
        self._at = 0

    def __enter__(self) -> Writer:
        with ExitStack() as stack:
            rec, idx = (stack.enter_context(atomic_file(path)) for path in self._paths)
            self._rec = stack.enter_context(open(rec, "wb", buffering=BUFFER))
            self._idx = stack.enter_context(open(idx, "w", buffering=BUFFER, newline="\n"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> bool | None:
        return self._stack.__exit__(*error)

    def write(self, key: int, payload: bytes) -> None:
        """Append a record. Raise ValueError if it is longer than 2**29 - 1 bytes."""
        if len(payload) > LONGEST:
            raise ValueError(f"record {key} has {len(payload)} bytes, more than {LONGEST}")
        self._idx.write(f"{key}\t{self._at}\n")
        cuts = _cuts(payload)
        if not cuts:
            self._write_chunk(WHOLE, payload)
            return
        ends = [*cuts, len(payload)]
        self._write_chunk(FIRST, payload[: cuts[0]])
        for number, (cut, end) in enumerate(pairwise(ends), start=2):
            self._write_chunk(LAST if number == len(ends) else MIDDLE, payload[cut + WORD : end])

    def _write_chunk(self, flag: int, part: bytes) -> None:
        size = len(part)
        chunk = (CHUNK.pack(MAGIC, flag << LENGTH_BITS | size), part, PADDING[size % WORD])
        self._at += self._rec.write(b"".join(chunk))


def _cuts(payload: bytes) -> list[int]:
    """Where the magic number stands at a multiple of WORD bytes."""
    found = []
    at = payload.find(MAGIC_BYTES)
    while at >= 0:
        if at % WORD == 0:
            found.append(at)
        at = payload.find(MAGIC_BYTES, at + 1)
    return found


class Reader:
    """A .rec in memory map; `reader[key]` is the payload of a record as a memoryview.

    With an .idx only its text is read when the reader is made, and each record is checked when it
    is asked for. Without one the whole .rec is scanned for its chunks, and keys count from 0.

    Args:
        rec_path: the .rec.
        idx_path: the .idx; None, or a file that does not exist, has the .rec scanned.

    Attributes:
        path: the .rec.
        keys: int64 [n], in the order of the records in the .rec.

    Raises:
        InputError: a file is missing, cut short or damaged, or the .idx does not fit the .rec.
    """

    def __init__(self, rec_path: str | Path, idx_path: str | Path | None = None) -> None:
        self.path = Path(rec_path)
        self._view = _mapped(self.path)
        self._remedy = DAMAGED
        if idx_path is not None and Path(idx_path).exists():
            self._remedy = SCANNED
            self.keys, offsets = self._checked(*_read_idx(Path(idx_path)))
        else:
            offsets = _scan(self.path, self._view)
            self.keys = np.arange(len(offsets))
        # Views give plain integers, several times faster than NumPy's scalars.
        self._offsets = memoryview(np.append(offsets, len(self._view)))
        self._row_of = _rows(self.keys)
        self[int(self.keys[-1])]  # a .rec that is cut short shows at its end

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[memoryview]:
        return map(self.__getitem__, self.keys.tolist())

    def __getitem__(self, key: int) -> memoryview:
        """Raise InputError if the record is damaged, KeyError if there is none of this key."""
        try:
            row = self._row_of(key)
        except ValueError:
            raise KeyError(key) from None
        begin = self._offsets[row] + CHUNK.size
        magic, length = CHUNK.unpack_from(self._view, begin - CHUNK.size)
        end = begin + length  # the flag of a whole chunk is 0: its word is the length alone
        if magic == MAGIC and end + -end % WORD == self._offsets[row + 1]:
            return self._view[begin:end]
        return self._joined(key, self._offsets[row], self._offsets[row + 1])

    def _joined(self, key: int, at: int, stop: int) -> memoryview:
        """The record of `key` at bytes `at`..`stop`, put together from its chunks."""
        parts: list[memoryview] = []
        flag = FIRST
        while flag in (FIRST, MIDDLE):
            begin = at + CHUNK.size
            magic, word = CHUNK.unpack_from(self._view, at) if begin <= stop else (None, 0)
            flag, length = word >> LENGTH_BITS, word & LONGEST
            if magic != MAGIC:
                raise self._fault(key, f"no magic number at byte {at}")
            if flag not in ((MIDDLE, LAST) if parts else (WHOLE, FIRST)):
                raise self._fault(key, f"continuation flag {flag} out of place at byte {at}")
            end = begin + length
            at = end + -end % WORD
            if at > stop:
                raise self._fault(key, f"its {length} bytes run past byte {stop}, where it ends")
            parts.append(self._view[begin:end])
        if at != stop:
            raise self._fault(key, f"it ends at byte {at}, the next one begins at byte {stop}")
        return memoryview(MAGIC_BYTES.join(parts))

    def _checked(self, keys: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keys and offsets of an .idx in the order of the .rec; they must be of this file."""
        order = np.argsort(offsets, kind="stable")
        keys, offsets = keys[order], offsets[order]
        outside = (offsets < 0) | (offsets + CHUNK.size > len(self._view)) | (offsets % WORD != 0)
        if outside.any():
            row = int(outside.argmax())
            problem = f"the .idx puts it at byte {offsets[row]} of {len(self._view)}"
            raise self._fault(int(keys[row]), problem)
        if offsets[0] != 0:
            raise self._fault(int(keys[0]), f"the .idx lists nothing before byte {offsets[0]}")
        for column, what in ((offsets, "two records at its byte"), (np.sort(keys), "it twice")):
            same = np.flatnonzero(np.diff(column) == 0)
            if len(same):
                raise self._fault(int(keys[same[0]]), f"the .idx lists {what}")
        return keys, offsets

    def _fault(self, key: int, problem: str) -> InputError:
        return InputError(self.path, problem, self._remedy, key)


class MxnetReader:
    """The same over mxnet.recordio, for those who want the vendor's reader; payloads are bytes."""

    def __init__(self, rec_path: Path, idx_path: Path) -> None:
        for path in (rec_path, idx_path):
            if not path.exists():
                raise InputError(path, "file not found", "set unpack.reader to native, or add it")
        np.bool = np.bool_  # mxnet 1.9 asks for the name that NumPy 1.24 dropped
        from mxnet.base import MXNetError
        from mxnet.recordio import MXIndexedRecordIO

        self.path = rec_path
        self._failure = MXNetError
        self._file = MXIndexedRecordIO(str(idx_path), str(rec_path), "r")
        self.keys = np.array(self._file.keys)

    def __getitem__(self, key: int) -> bytes:
        """Raise InputError if the record is damaged, KeyError if there is none of this key."""
        try:
            return self._file.read_idx(key)
        except self._failure:
            raise InputError(self.path, "mxnet cannot read it", SCANNED, key) from None


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The images of the pack in folder `root`, in the order of their ids.

    Record 0 with flag > 0 holds the exclusive upper bound of the image ids, which begin at 1 (what
    comes after are one record a person); with flag 0 every record is an image. The label of an
    image is the first if it has several. `property`, a line `classes,height,width`, may be missing.

    Args:
        reader: `native`, or `mxnet` to have mxnet.recordio read the records.

    Raises:
        InputError: a file is missing or damaged; while iterating, a record is damaged or its label
            is none of the classes.
    """
    rec, idx = root / "train.rec", root / "train.idx"
    if not rec.exists():
        raise InputError(rec, "file not found", ORIGIN)
    file = MxnetReader(rec, idx) if reader == "mxnet" else Reader(rec, idx)
    classes = _classes(root / "property")

    def load(key: int) -> Record:
        header, image = _unpacked(file, key)
        label = float(header.label if header.flag == 0 else header.label[0])
        if not (label.is_integer() and 0 <= label < classes):
            problem = f"label {label:g} is no class of 0..{classes - 1:g}"
            raise InputError(rec, problem, "mend `property`, or get the pack again", key)
        return Record(f"record {key}", int(label), image)

    return Source(Records(_image_keys(file), load))


def _unpacked(file: Reader | MxnetReader, key: int) -> tuple[Header, bytes | memoryview]:
    try:
        return unpack(file[key])
    except ValueError as fault:
        raise InputError(file.path, str(fault), DAMAGED, key) from None


def _image_keys(file: Reader | MxnetReader) -> list[int]:
    if 0 not in file.keys:
        return file.keys.tolist()
    header, _ = _unpacked(file, 0)
    if header.flag == 0:
        return file.keys.tolist()
    bound = float(header.label[0])
    if not (bound.is_integer() and bound >= 1):
        raise InputError(file.path, f"says that image ids end at {bound:g}", DAMAGED, 0)
    images = np.arange(1, int(bound))
    missing = np.setdiff1d(images, file.keys)
    if len(missing):
        raise InputError(file.path, "not in the .idx", SCANNED, int(missing[0]))
    return images.tolist()


def _classes(path: Path) -> float:
    """Number of classes; infinite where there is no file that says."""
    if not path.exists():
        return math.inf
    try:
        return int(path.read_text().split(",")[0])
    except ValueError:
        raise InputError(path, "not `classes,height,width`", "get the pack again") from None


def _mapped(path: Path) -> memoryview:
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise InputError(path, "file not found", "put the pack's .rec there") from None
    except ValueError:
        raise InputError(path, "empty file", DAMAGED) from None


def _read_idx(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loadtxt warns of an empty file
            columns = np.loadtxt(path, np.int64, comments=None, delimiter="\t", ndmin=2)
    except ValueError as fault:
        raise InputError(path, str(fault), SCANNED) from None
    if columns.size == 0 or columns.shape[1] != 2:
        raise InputError(path, "not lines of key, TAB, byte offset", SCANNED)
    return columns[:, 0], columns[:, 1]


def _rows(keys: np.ndarray) -> Callable[[int], int]:
    """Row of a key; raises KeyError or ValueError where there is none."""
    first = int(keys[0])
    if np.array_equal(keys, np.arange(first, first + len(keys))):
        return range(first, first + len(keys)).index
    return dict(zip(keys.tolist(), range(len(keys)), strict=True)).__getitem__


def _scan(path: Path, view: memoryview) -> np.ndarray:
    """Byte offsets of the records of a .rec, found by the magic number alone."""
    words = np.frombuffer(view, "<u4", len(view) // WORD)
    pieces = range(0, len(words), SCAN_WORDS)
    found = [np.flatnonzero(words[at : at + SCAN_WORDS] == MAGIC) + at for at in pieces]
    chunks = np.concatenate([*found, [len(words)]])[:-1]
    chunks = chunks[chunks + 1 < len(words)]
    if len(chunks) == 0 or chunks[0] != 0:
        raise InputError(path, "no magic number at byte 0", "give a RecordIO .rec", 0)
    heads = words[chunks + 1]
    ends = (chunks + 2) * WORD + (heads & LONGEST).astype(np.int64)
    ends += -ends % WORD
    starts = heads >> LENGTH_BITS <= FIRST
    broken = np.flatnonzero(ends != np.append(chunks[1:] * WORD, len(view)))
    if len(broken):
        end, record = int(ends[broken[0]]), int(np.cumsum(starts)[broken[0]]) - 1
        if end > len(view):
            raise InputError(path, f"cut short at byte {len(view)} of {end}", DAMAGED, record)
        raise InputError(path, f"no magic number at byte {end}", DAMAGED, record + 1)
    return chunks[starts] * WORD
