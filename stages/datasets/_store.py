"""Image sets on disk: encoded images, and an index that says where each is.

A folder holds index.parquet (stages/core/index.py) and either images/, a file an image, to look at,
or shards/, at most 90 uncompressed ZIP files: version control and file systems take seconds over a
hundred files and hours over millions.
"""

from __future__ import annotations

import hashlib
import mmap
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.index import IN_OWN_FILE, UNKNOWN_LABEL, Index, Texts, read_index, write_index
from stages.datasets._encoded import decode, inspect
from stages.datasets._zip import ZipShard

MOST_FILES = 500  # images kept as files of their own
SHARD_IMAGES = 5_000  # in a shard, at least
MOST_SHARDS = 90  # with index and lists a set is of 100 files; more only past 4 GiB a shard
RESIDENT = 1 << 28  # bytes of shards in memory until their pages leave the process
AROUND = 1 << 19  # bytes that Linux maps, at most, with an image that is read alone
INDEX = "index.parquet"
NUMBERS = ("offset", "length", "label", "width", "height", "record")  # columns of the index
TEXTS = ("path", "sha1", "source")
LANDMARKS = 10
UNKNOWN_LANDMARKS = np.full(LANDMARKS, np.nan, np.float32)
AGAIN = "run the stage that wrote it again"


class ImageSetWriter:
    """Writes an image set into a folder; equal calls give equal bytes.

    A context manager; the index is written when it is left without an error. Meant for a folder of
    `stages.core.files.atomic_folder`, which takes care that the set appears whole.

    Args:
        folder: where to write; it exists.
        count: images to come, at most; decides between files and shards.
        origin: the file or folder to name when an image is none.
    """

    def __init__(self, folder: Path, count: int, origin: Path) -> None:
        self._folder = folder
        self._count = count
        self._origin = origin
        self._keeper = _Files(folder) if count <= MOST_FILES else _Shards(folder, count)
        # By columns: millions of rows of Python objects would take gigabytes.
        self._numbers = array("q")  # one after another what NUMBERS names
        self._landmarks = array("f")
        self._texts = {name: (array("q", [0]), bytearray()) for name in TEXTS}

    def __enter__(self) -> ImageSetWriter:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._keeper.close()
        if kind is None:
            write_index(self._folder / INDEX, self._index())

    def __len__(self) -> int:
        return len(self._texts["path"][0]) - 1

    def add(
        self,
        payload: bytes | memoryview,
        name: str,
        label: int = UNKNOWN_LABEL,
        landmarks: np.ndarray | None = None,
        record: int | None = None,
    ) -> None:
        """Append an image, byte for byte.

        Args:
            payload: encoded JPEG or PNG.
            name: how to name it to a person; column `source`.
            label: class of a training set.
            landmarks: float32 [10] in pixels of the unpacked image.
            record: row of the unpacked index; by default the row it gets here.

        Raises:
            InputError: the payload is no image, or is cut short.
        """
        row = len(self)
        if row >= self._count:
            raise ValueError(f"more images than the {self._count} that were announced")
        try:
            kind = inspect(payload)
        except ValueError as fault:
            remedy = "replace or remove that image"
            raise InputError(self._origin, str(fault), remedy, name) from None
        path, offset = self._keeper.keep(f"{row:08d}.{kind.suffix}", payload)
        record = row if record is None else record
        self._numbers.extend((offset, len(payload), label, kind.width, kind.height, record))
        points = UNKNOWN_LANDMARKS if landmarks is None else np.asarray(landmarks, np.float32)
        self._landmarks.frombytes(points.reshape(LANDMARKS).tobytes())
        for column, text in zip(
            TEXTS, (path, hashlib.sha1(payload).hexdigest(), name), strict=True
        ):
            ends, data = self._texts[column]
            data += text.encode()
            ends.append(len(data))

    def _index(self) -> Index:
        numbers = np.frombuffer(self._numbers, np.int64).reshape(-1, len(NUMBERS)).T
        return Index(
            **dict(zip(NUMBERS, numbers, strict=True)),
            **{
                name: Texts(np.frombuffer(ends, np.int64), data)
                for name, (ends, data) in self._texts.items()
            },
            landmarks=np.frombuffer(self._landmarks, np.float32).reshape(-1, LANDMARKS),
        )


class _Files:
    """Images as files of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "images").mkdir()

    def keep(self, name: str, payload: bytes | memoryview) -> tuple[str, int]:
        """Write an image; its path relative to the folder, and its offset there."""
        path = f"images/{name}"
        (self._folder / path).write_bytes(payload)
        return path, IN_OWN_FILE

    def close(self) -> None:
        """Nothing is open."""


class _Shards:
    """Images in ZIP shards of about equal numbers."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._images = max(SHARD_IMAGES, -(-count // MOST_SHARDS))
        self._paths: list[str] = []
        (folder / "shards").mkdir()
        self._shard = self._next()

    def keep(self, name: str, payload: bytes | memoryview) -> tuple[str, int]:
        """Write an image; its path relative to the folder, and its offset there."""
        if len(self._shard) >= self._images or not self._shard.has_room(name, payload):
            self._shard.close()
            self._shard = self._next()
        return self._paths[-1], self._shard.add(name, payload)

    def close(self) -> None:
        self._shard.close()

    def _next(self) -> ZipShard:
        self._paths.append(f"shards/{len(self._paths):04d}.zip")
        return ZipShard(self._folder / self._paths[-1])


class ImageStore:
    """An image set to read from; safe to share between threads, and between processes (it is
    pickled as its folder).

    Args:
        folder: what an ImageSetWriter wrote.

    Attributes:
        index: one row an image.

    Raises:
        InputError: there is no image set.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.index = read_index(self.folder / INDEX)
        self._maps: dict[str, memoryview] = {}
        self._resident = 0

    def __len__(self) -> int:
        return len(self.index)

    def __reduce__(self) -> tuple:
        return ImageStore, (self.folder,)

    def encoded(self, row: int) -> memoryview:
        """The encoded image of a row, without a copy where it lies in a shard.

        Raises:
            InputError: its file is missing or not what the index says.
        """
        path, offset = self.index.path[row], int(self.index.offset[row])
        length = int(self.index.length[row])
        begin = 0 if offset == IN_OWN_FILE else offset
        data = self._file(path, keep=offset != IN_OWN_FILE)[begin : begin + length]
        if len(data) != length:
            problem = f"{len(data)} bytes where the index has {length}"
            raise InputError(self.folder / path, problem, AGAIN, self.index.source[row])
        if hashlib.sha1(data).hexdigest() != self.index.sha1[row]:
            problem = "its bytes are not those that were written"
            raise InputError(self.folder / path, problem, AGAIN, self.index.source[row])
        self._resident += length + AROUND
        if self._resident > RESIDENT:
            self._release()
        return data

    def _release(self) -> None:
        """Pages that were read leave the process, not the system's cache: views stay valid."""
        self._resident = 0
        for data in list(self._maps.values()):
            data.obj.madvise(mmap.MADV_DONTNEED)

    def _file(self, path: str, keep: bool) -> memoryview:
        data = self._maps.get(path)
        if data is not None:
            return data
        if not path.startswith(("images/", "shards/")) or ".." in path:
            raise InputError(self.folder / INDEX, f"{path!r} leads out of the set", AGAIN)
        try:
            if not keep:
                return memoryview((self.folder / path).read_bytes())
            with open(self.folder / path, "rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as fault:
            raise InputError(self.folder / path, f"cannot be read ({fault})", AGAIN) from None
        return self._maps.setdefault(path, data)

    def image(self, row: int, out: np.ndarray | None = None) -> np.ndarray:
        """The image of a row, uint8 [height, width, 3], RGB.

        Args:
            out: where to write it, of exactly its shape and contiguous.

        Raises:
            InputError: it cannot be decoded.
        """
        try:
            return decode(self.encoded(row), out)
        except ValueError as fault:
            name = self.index.source[row]
            remedy = "replace or remove that image"
            raise InputError(self.folder / self.index.path[row], str(fault), remedy, name) from None

    def images(self, rows: Sequence[int]) -> np.ndarray:
        """The images of `rows`, uint8 [n, height, width, 3], RGB.

        Raises:
            InputError: an image cannot be decoded.
            ValueError: they are of several sizes, or none.
        """
        sizes = np.unique(np.stack([self.index.height[rows], self.index.width[rows]], 1), axis=0)
        if len(sizes) != 1:
            raise ValueError(f"{len(rows)} images of {len(sizes)} sizes: no batch")
        batch = np.empty((len(rows), *sizes[0], 3), np.uint8)
        for row, out in zip(rows, batch, strict=True):
            self.image(row, out)
        return batch
