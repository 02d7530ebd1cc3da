"""RecordIO files: records by key, one after the other in a .rec, and where each begins in an .idx.

A record is one or more chunks: uint32 magic, uint32 (continuation flag in the top 3 bits, length in
the low 29), payload, zeros up to a multiple of 4 bytes. A payload that holds the magic number at a
multiple of 4 bytes is cut there, and the magic left out, so that within the file it marks chunks
alone. The .idx is text, `key TAB byte offset` a line.

Payload of an image: uint32 flag, float32 label, uint64 id, uint64 id2; with flag > 0 that many
float32 labels follow and replace `label`; the rest is the encoded image. Format: dmlc-core
`recordio.h` and `mxnet.recordio`.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.errors import InputError
from stages.core.files import atomic_file

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
BLOCK = 1024  # records whose headers are read at once
RESIDENT = 1 << 28  # bytes read in blocks until their pages leave the process
SCAN_WORDS = 1 << 24  # words looked at in one go while a pack without .idx is scanned

SCANNED = "get the pack again, or remove the .idx: the .rec is scanned then"
DAMAGED = "the .rec is damaged: get it again"


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
        ValueError: flag and the number of labels disagree, or a number is out of range.
    """
    try:
        if flag == 0:
            return HEADER.pack(0, label, id, id2) + image
        labels = np.asarray(label, "<f4")
        if labels.shape != (flag,):
            raise ValueError(f"flag {flag} with labels of shape {labels.shape}")
        return HEADER.pack(flag, 0.0, id, id2) + labels.tobytes() + image
    except struct.error as fault:
        raise ValueError(f"flag {flag}, label {label}, id {id}, id2 {id2}: {fault}") from None


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
        self._waiting: list[tuple[int, bytes]] = []
        self._waiting_bytes = 0
        self._at = 0

    def __enter__(self) -> Writer:
        with ExitStack() as stack:
            rec, idx = (stack.enter_context(atomic_file(path)) for path in self._paths)
            self._rec = stack.enter_context(open(rec, "wb"))
            self._idx = stack.enter_context(open(idx, "w", newline="\n"))
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> bool | None:
        return self._stack.__exit__(*error)

    def write(self, key: int, payload: bytes) -> None:
        """Append a record. Raise ValueError if it is longer than 2**29 - 1 bytes."""
        if len(payload) > LONGEST:
            raise ValueError(f"record {key} has {len(payload)} bytes, more than {LONGEST}")
        self._waiting.append((key, bytes(payload)))
        self._waiting_bytes += len(payload)
        if self._waiting_bytes >= BUFFER:
            self._flush()

    def _finish(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self._flush()

    def _flush(self) -> None:
        keys, payloads = zip(*self._waiting, strict=True) if self._waiting else ((), ())
        records = list(map(_whole, payloads))
        block = b"".join(chain.from_iterable(records))
        # One look over the block is several times faster than a search in every payload.
        if np.count_nonzero(np.frombuffer(block, "<u4") == MAGIC) != len(records):
            records = list(map(_split, payloads))
            block = b"".join(chain.from_iterable(records))
        self._rec.write(block)
        for key, parts in zip(keys, records, strict=True):
            self._idx.write(f"{key}\t{self._at}\n")
            self._at += sum(map(len, parts))
        self._waiting.clear()
        self._waiting_bytes = 0


def _whole(payload: bytes, flag: int = WHOLE) -> tuple[bytes, bytes, bytes]:
    """Parts of a record of one chunk."""
    size = len(payload)
    return CHUNK.pack(MAGIC, flag << LENGTH_BITS | size), payload, PADDING[size % WORD]


def _split(payload: bytes) -> tuple[bytes, ...]:
    """Parts of a record that is cut wherever the magic stands at a multiple of WORD bytes."""
    cuts = [
        m.start() for m in re.finditer(re.escape(MAGIC_BYTES), payload) if m.start() % WORD == 0
    ]
    if not cuts:
        return _whole(payload)
    bounds = pairwise([-WORD, *cuts, len(payload)])
    flags = [FIRST, *[MIDDLE] * (len(cuts) - 1), LAST]
    chunks = (_whole(payload[a + WORD : b], f) for (a, b), f in zip(bounds, flags, strict=True))
    return tuple(chain.from_iterable(chunks))


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
        self._words = np.frombuffer(self._view, "<u4", len(self._view) // WORD)
        if idx_path is not None and Path(idx_path).exists():
            self._remedy = SCANNED
            self.keys, offsets = self._checked(*_read_idx(Path(idx_path)))
        else:
            self._remedy = DAMAGED
            offsets = self._scanned()
            self.keys = np.arange(len(offsets))
        self._bounds = np.append(offsets, len(self._view))
        self._bound = memoryview(self._bounds)  # gives Python's integers, faster than NumPy's
        self._row_of = self._rows()
        self._resident = 0
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
        return self._joined(key, self._bound[row], self._bound[row + 1])

    def unpacked(self, keys: Sequence[int]) -> Iterator[tuple[Header, memoryview]]:
        """Header and image of each of `keys`, in their order: `unpack(self[key])`, several times
        faster since the headers of a block of records are read at once."""
        blocks = (keys[at : at + BLOCK] for at in range(0, len(keys), BLOCK))
        return chain.from_iterable(map(self._unpacked_block, blocks))

    def _unpacked_block(self, keys: Sequence[int]) -> Iterator[tuple[Header, memoryview]]:
        try:
            rows = np.fromiter(map(self._row_of, keys), np.int64, len(keys))
        except ValueError as fault:
            raise KeyError(str(fault)) from None
        starts, stops = self._bounds[rows], self._bounds[rows + 1]
        self._resident += int((stops - starts).sum())
        if self._resident > RESIDENT:  # they stay in the system's cache, and views stay valid
            self._resident = 0
            self._view.obj.madvise(mmap.MADV_DONTNEED)
        at = starts[:, None] // WORD + np.arange((CHUNK.size + HEADER.size) // WORD)
        words = self._words[np.minimum(at, len(self._words) - 1)]
        # The flag of a whole chunk is 0, so that its word is the length alone.
        ends = starts + CHUNK.size + words[:, 1]
        plain = (words[:, 0] == MAGIC) & (ends + -ends % WORD == stops)
        plain &= (words[:, 1] >= HEADER.size) & (words[:, 2] == 0)
        labels = words[:, 3].copy().view("<f4").tolist()
        ids = words[:, 4:].copy().view("<u8").T.tolist()
        begins = (starts + CHUNK.size + HEADER.size).tolist()
        # Maps and zips stay in C from end to end; tuple.__new__ skips the Python of Header's own.
        headers = map(partial(tuple.__new__, Header), zip(repeat(0), labels, *ids))
        images = map(self._view.__getitem__, map(slice, begins, ends.tolist()))
        records = zip(headers, images, strict=True)
        if plain.all():
            return records
        each = zip(keys, plain.tolist(), records, strict=True)
        return (
            record if is_plain else unpacked(self.path, key, self[key])
            for key, is_plain, record in each
        )

    def _rows(self) -> Callable[[int], int]:
        """Gives the row of a key; raises ValueError or KeyError where there is none."""
        first, count = int(self.keys[0]), len(self.keys)
        if np.array_equal(self.keys, np.arange(first, first + count)):
            return range(first, first + count).index  # millions of keys in no memory
        rows = dict(zip(self.keys.tolist(), range(count), strict=True))
        require_distinct(self.keys, self.path)
        return rows.__getitem__

    def _joined(self, key: int, at: int, stop: int) -> memoryview:
        """The record of `key` at bytes `at`..`stop`, put together from its chunks."""
        record: memoryview | bytearray | None = None
        flag = FIRST
        while flag in (FIRST, MIDDLE):
            begin = at + CHUNK.size
            magic, word = CHUNK.unpack_from(self._view, at) if begin <= stop else (None, 0)
            flag, length = word >> LENGTH_BITS, word & LONGEST
            if magic != MAGIC:
                raise self._fault(key, f"no magic number at byte {at}")
            if flag not in ((WHOLE, FIRST) if record is None else (MIDDLE, LAST)):
                raise self._fault(key, f"continuation flag {flag} out of place at byte {at}")
            end = begin + length
            at = end + -end % WORD
            if at > stop:
                raise self._fault(key, f"its {length} bytes run past byte {stop}, where it ends")
            if record is None:
                record = self._view[begin:end]
            else:
                record = bytearray(record) if isinstance(record, memoryview) else record
                record += MAGIC_BYTES
                record += self._view[begin:end]
        if at != stop:
            raise self._fault(key, f"it ends at byte {at}, the next one begins at byte {stop}")
        return memoryview(record).toreadonly()

    def _checked(self, keys: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keys and offsets of an .idx in the order of the .rec; they must be of this file."""
        if (np.diff(offsets) <= 0).any():
            order = np.argsort(offsets, kind="stable")
            keys, offsets = keys[order], offsets[order]
        room = len(self._view) - CHUNK.size
        if offsets[0] < 0 or offsets[-1] > room or (offsets & (WORD - 1)).any():
            row = int(((offsets < 0) | (offsets > room) | (offsets % WORD != 0)).argmax())
            problem = f"the .idx puts it at byte {offsets[row]} of {len(self._view)}"
            raise self._fault(int(keys[row]), problem)
        if offsets[0] != 0:
            raise self._fault(int(keys[0]), f"the .idx lists nothing before byte {offsets[0]}")
        return keys, offsets

    def _scanned(self) -> np.ndarray:
        """Byte offsets of the records, found by the magic number alone."""
        pieces = range(0, len(self._words), SCAN_WORDS)
        found = [np.flatnonzero(self._words[p : p + SCAN_WORDS] == MAGIC) + p for p in pieces]
        chunks = np.concatenate([np.zeros(0, np.int64), *found])
        chunks = chunks[chunks + 1 < len(self._words)]
        if len(chunks) == 0 or chunks[0] != 0:
            raise self._fault(0, "no magic number at byte 0: not a RecordIO file")
        heads = self._words[chunks + 1]
        ends = (chunks + 2) * WORD + (heads & LONGEST)
        ends += -ends % WORD
        starts = heads >> LENGTH_BITS <= FIRST
        broken = np.flatnonzero(ends != np.append(chunks[1:] * WORD, len(self._view)))
        if len(broken):
            end, record = int(ends[broken[0]]), int(np.cumsum(starts)[broken[0]]) - 1
            if end > len(self._view):
                raise self._fault(record, f"cut short at byte {len(self._view)} of {end}")
            raise self._fault(record + 1, f"no magic number at byte {end}")
        return chunks[starts] * WORD

    def _fault(self, key: int, problem: str) -> InputError:
        return InputError(self.path, problem, self._remedy, key)


def unpacked(
    path: Path, key: int, payload: bytes | memoryview
) -> tuple[Header, bytes | memoryview]:
    """`unpack(payload)` of a record of the .rec at `path`. Raise InputError if it is damaged."""
    try:
        return unpack(payload)
    except ValueError as fault:
        raise InputError(path, str(fault), DAMAGED, key) from None


def require_distinct(keys: np.ndarray, path: Path) -> None:
    """Raise InputError if the .idx of the .rec at `path` lists a key twice."""
    values, counts = np.unique(keys, return_counts=True)
    if len(values) < len(keys):
        problem = "the .idx lists it more than once"
        raise InputError(path, problem, SCANNED, int(values[counts.argmax()]))


def _mapped(path: Path) -> memoryview:
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise InputError(path, "file not found", "put the pack's .rec there") from None
    except ValueError:
        raise InputError(path, "empty file", DAMAGED) from None


def _read_idx(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys and byte offsets."""
    text = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy only warns of what is no number
            numbers = np.fromstring(text, np.int64, sep=" ")
    except (DeprecationWarning, ValueError):
        numbers = np.zeros(0, np.int64)
    ends = text.count(b"\n")
    if len(numbers) and len(numbers) == 2 * (ends + (text[-1:] != b"\n")):
        return numbers[::2], numbers[1::2]
    lines = enumerate(io.BytesIO(text), 1)
    wrong = (n for n, line in lines if not re.fullmatch(rb"\d+\t\d+\r?\n?", line))
    raise InputError(path, "not a key, TAB, byte offset", SCANNED, f"line {next(wrong, 1)}")
