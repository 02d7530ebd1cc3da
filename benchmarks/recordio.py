"""RecordIO and unpacking against mxnet.recordio: 20,000 records of 112x112 JPEGs, page cache."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from benchmarks._measure import Row, alternate
from stages.datasets import _rec, recordio
from stages.datasets._store import ImageSetWriter

np.bool = np.bool_  # mxnet 1.9 asks for the name that NumPy 1.24 dropped
from mxnet import recordio as mxnet  # noqa: E402

RECORDS = 20_000
DISTINCT = 500  # images that the records repeat
PEOPLE = 1_000
NOISE = 3.5  # grey levels; gives JPEGs of about 5.5 kB, as faces of this size and quality have
QUALITY = 95


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = _images()
        _write_theirs(images, folder / "train")
        return [
            _write(images, folder),
            _sequential(folder / "train"),
            _random(folder / "train"),
            _open(folder / "train"),
            _unpack(folder),
        ]


def _images() -> list[bytes]:
    generator = np.random.default_rng(0)
    distinct = []
    for _ in range(DISTINCT):
        smooth = cv2.resize(generator.integers(0, 256, (8, 8, 3)).astype(np.uint8), (112, 112))
        noisy = smooth + generator.normal(0, NOISE, smooth.shape)
        pixels = np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8))
        distinct.append(simplejpeg.encode_jpeg(pixels, QUALITY, colorsubsampling="420"))
    return [distinct[n % DISTINCT] for n in range(RECORDS)]


def _write_ours(images: list[bytes], path: Path) -> None:
    with _rec.Writer(path.with_suffix(".rec"), path.with_suffix(".idx")) as writer:
        for n, image in enumerate(images):
            writer.write(n, _rec.pack(0, float(n % PEOPLE), n, 0, image))


def _write_theirs(images: list[bytes], path: Path) -> None:
    rec, idx = str(path.with_suffix(".rec")), str(path.with_suffix(".idx"))
    writer = mxnet.MXIndexedRecordIO(idx, rec, "w")
    for n, image in enumerate(images):
        writer.write_idx(n, mxnet.pack(mxnet.IRHeader(0, float(n % PEOPLE), n, 0), image))
    writer.close()


def _ours(path: Path) -> _rec.Reader:
    return _rec.Reader(path.with_suffix(".rec"), path.with_suffix(".idx"))


def _theirs(path: Path) -> mxnet.MXIndexedRecordIO:
    return mxnet.MXIndexedRecordIO(
        str(path.with_suffix(".idx")), str(path.with_suffix(".rec")), "r"
    )


def _write(images: list[bytes], folder: Path) -> Row:
    block = b"".join(images)

    def one_write() -> None:
        (folder / "limit").write_bytes(block)

    ours, theirs, limit = alternate(
        lambda: _write_ours(images, folder / "ours"),
        lambda: _write_theirs(images, folder / "theirs"),
        one_write,
    )
    note = f"{len(block) / 1e6:.0f} MB, byte-identical; the limit is one write of as many bytes"
    return Row("RecordIO: write", ours, theirs, 1.8, 1.9, limit / ours, note)


def _sequential(path: Path) -> Row:
    def ours() -> None:
        for _header, _image in _ours(path).unpacked(range(RECORDS)):
            pass

    def theirs() -> None:
        reader = mxnet.MXRecordIO(str(path.with_suffix(".rec")), "r")
        for _ in range(RECORDS):
            mxnet.unpack(reader.read())

    note = "open, then header and image of every record; ours are views of the map, not copies"
    return Row("RecordIO: read in order", *alternate(ours, theirs), 4.0, 5.2, note=note)


def _random(path: Path) -> Row:
    order = random.Random(0).sample(range(RECORDS), RECORDS)
    our_reader, their_reader = _ours(path), _theirs(path)

    def ours() -> None:
        for _header, _image in our_reader.unpacked(order):
            pass

    def theirs() -> None:
        for key in order:
            mxnet.unpack(their_reader.read_idx(key))

    note = "header and image of every record, shuffled; readers are open; ours are views"
    return Row("RecordIO: read at random", *alternate(ours, theirs), 11.0, 11.0, note=note)


def _open(path: Path) -> Row:
    times = alternate(lambda: _ours(path), lambda: _theirs(path), rounds=15)
    return Row("RecordIO: open index", *times, 7.0, 7.0, note="ours maps and checks the .rec too")


def _unpack(folder: Path) -> Row:
    """The pack as an image set, checked and indexed, against a bare file an image."""
    pack = folder / "train"

    def emptied(name: str) -> Path:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
        return folder / name

    def ours() -> None:
        records = recordio.read(folder, recordio.Params()).records
        with ImageSetWriter(emptied("ours_set"), len(records), folder) as writer:
            for record in records:
                writer.add(record.payload, record.name, record.label)

    def theirs() -> None:
        target = emptied("their_files")
        reader = mxnet.MXRecordIO(str(pack.with_suffix(".rec")), "r")
        for n in range(RECORDS):
            _, image = mxnet.unpack(reader.read())
            (target / f"{n}.jpg").write_bytes(image)

    note = "to shards with SHA-1, CRC, sizes and an index; theirs: bare files, nothing checked"
    return Row("Unpack a pack", *alternate(ours, theirs, rounds=3), 1.0, None, note=note)
