"""Pictures (JPEG, PNG), and the store that image sets are kept in: ZIP shards and their index."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from faults._cases import (
    BOMBS,
    COUNTS,
    FLIPS,
    MAGIC,
    PICKLES,
    SIZES,
    TRAVERSAL,
    TRUNCATION,
    Case,
    Damage,
    Format,
    becomes,
    hostile_pickles,
    of_bytes,
    put,
)
from faults.formats._sets import (
    NAME,
    bombs,
    describe,
    picture,
    progressive,
    read_set,
    read_store,
)
from stages.core.index import Index, read_index, write_index
from stages.datasets._store import MOST_FILES, ImageSetWriter
from tests.datasets.samples import jpeg, png

IMAGES = 8
PEOPLE = ("ann", "bob")
FAR = 1 << 62


def make_picture(folder: Path, name: str) -> Path:
    """Two people in folders; one of the pictures is damaged."""
    describe(folder, "folder", "people")
    for person in PEOPLE:
        (folder / "people" / person).mkdir(parents=True)
        for number in range(3):
            (folder / "people" / person / f"{number}.jpg").write_bytes(jpeg(number, 24, 20))
    file = folder / "people" / PEOPLE[0] / name
    file.write_bytes((png if name.endswith("png") else jpeg)(5, 40, 32))
    return file


def picture_cases(file: Path, draw: Random) -> Iterator[Case]:
    record = f"{PEOPLE[0]}/{file.name}"
    content = file.read_bytes()
    if file.suffix == ".png":
        yield from png_cases(content, record)
    else:
        yield from jpeg_cases(content, record)
    for name, bomb in bombs().items():
        yield Case(BOMBS, name, becomes(bomb), record)


def jpeg_cases(content: bytes, record: str) -> Iterator[Case]:
    frame, scan = content.index(b"\xff\xc0"), content.index(b"\xff\xda")
    for name, (at, new) in {
        "no components": (frame + 9, b"\0"),
        "200 components": (frame + 9, b"\xc8"),
        "four tables of 255": (frame + 12, b"\xff"),
        "no components in the scan": (scan + 4, b"\0"),
        "sixteen bits a sample": (frame + 4, b"\x10"),
        "a sampling of 15 x 15": (frame + 11, b"\xff"),
    }.items():
        yield Case(COUNTS, name, put(at, new), harmless=True)
    for name, (at, new) in {
        "no rows": (frame + 5, b"\0\0"),
        "no columns": (frame + 7, b"\0\0"),
        "twice the rows": (frame + 5, b"\0\x40"),
        "a frame of no bytes": (frame + 2, b"\0\0"),
        "a frame of 64 KiB": (frame + 2, b"\xff\xff"),
        "a scan of 64 KiB": (scan + 2, b"\xff\xff"),
    }.items():
        yield Case(SIZES, name, put(at, new), harmless=True)
    for name, stray in {"zeros": bytes(9), "a path": b"../../etc/passwd"}.items():
        yield Case(TRAVERSAL, f"{name} between segments", inserted(20, stray), harmless=True)
    for number, hostile in enumerate(hostile_pickles()):
        segment = b"\xff\xe1" + struct.pack(">H", len(hostile) + 2) + hostile
        damage = inserted(2, segment)
        yield Case(PICKLES, f"pickle {number} for a camera's note", damage, harmless=True)
    wide = bytearray(progressive(64))
    at = wide.index(b"\xff\xc2") + 5
    wide[at : at + 4] = struct.pack(">HH", 3_000, 65_000)
    yield Case(BOMBS, "a progressive JPEG of 65,000 x 3,000 pixels", becomes(bytes(wide)), record)


def png_cases(content: bytes, record: str) -> Iterator[Case]:
    data = content.index(b"IDAT")
    for name, (at, new) in {
        "no bits a sample": (24, b"\0"),
        "200 bits a sample": (24, b"\xc8"),
        "colour type 9": (25, b"\x09"),
        "compression 7": (26, b"\x07"),
        "interlacing 9": (28, b"\x09"),
    }.items():
        yield Case(COUNTS, name, put(at, new), harmless=True)
    for name, (at, new) in {
        "no columns": (16, bytes(4)),
        "no rows": (20, bytes(4)),
        "twice the rows": (20, struct.pack(">I", 64)),
        "2**31 columns": (16, b"\x80\0\0\0"),
        "a chunk of 2 GiB": (data - 4, b"\x7f\xff\xff\xff"),
        "a chunk of no bytes": (data - 4, bytes(4)),
        "a head of 14 bytes": (8, b"\0\0\0\x0e"),
    }.items():
        yield Case(SIZES, name, put(at, new), harmless=True)
    for name, at in {"before the data": data - 4, "before the end": len(content) - 12}.items():
        damage = inserted(at, b"../../etc/passwd")
        yield Case(TRAVERSAL, f"stray bytes {name}", damage, harmless=True)
    for number, hostile in enumerate(hostile_pickles()):
        chunk = struct.pack(">I", len(hostile)) + b"teXt" + hostile + bytes(4)
        damage = inserted(data - 4, chunk)
        yield Case(PICKLES, f"pickle {number} for a comment", damage, harmless=True)


def inserted(at: int, new: bytes) -> Damage:
    return of_bytes(lambda whole: whole[:at] + new + whole[at:])


def make_store(folder: Path, damaged: str) -> Path:
    place = folder / "data/unpack" / NAME
    place.mkdir(parents=True)
    with ImageSetWriter(place, MOST_FILES + 1, place) as writer:  # announced: enough for shards
        for number in range(IMAGES):
            writer.add(picture(number), f"image {number}", number)
    return place / damaged


def shard_cases(file: Path, draw: Random) -> Iterator[Case]:
    """Its own lists are for other programs: the index says where an image is."""
    content = file.read_bytes()
    end, first = content.rindex(b"PK\x05\x06"), content.index(b"PK\x01\x02")
    for name, (at, new) in {
        "65,535 entries": (end + 8, b"\xff\xff\xff\xff"),
        "no entries": (end + 8, bytes(4)),
        "disk 7": (end + 4, b"\x07\0"),
    }.items():
        yield Case(COUNTS, name, put(at, new), harmless=True)
    for name, (at, new) in {
        "an entry of 4 GiB": (18, b"\xff" * 8),
        "an entry of no bytes": (18, bytes(8)),
        "a name of 64 KiB": (26, b"\xff\xff"),
        "a directory at 4 GiB": (end + 16, b"\xff\xff\xff\xff"),
        "a compressed entry": (8, b"\x08\0"),
    }.items():
        yield Case(SIZES, name, put(at, new), harmless=True)
    for at in (30, first + 46):
        yield Case(TRAVERSAL, "a name that leads out", put(at, b"../../../../"), harmless=True)
    hole = of_bytes(lambda whole: whole[: first // 2] + whole[first // 2 + 40 :])
    yield Case(SIZES, "forty bytes missing within", hole, r"image \d+")
    for number, hostile in enumerate(hostile_pickles()[:6]):
        damage = put(first - len(picture(IMAGES - 1)), hostile[:80])
        yield Case(PICKLES, f"pickle {number} over an image", damage, r"image \d+")
    yield Case(BOMBS, "sixty megabytes of zeros after the end", sparse, harmless=True)
    for name, bomb in bombs().items():
        place = first - len(picture(IMAGES - 1))
        yield Case(BOMBS, f"{name} over an image", put(place, bomb[:300]), r"image \d+")


def sparse(file: Path) -> None:
    """A hole in the file, which takes no room on the disk."""
    with open(file, "r+b") as stream:
        stream.truncate(60 << 20)


def index_cases(file: Path, draw: Random) -> Iterator[Case]:
    def with_column(name: str, value: object, row: int = 3) -> Damage:
        def change(index: Index) -> Index:
            column = list(getattr(index, name))
            column[row] = value
            kind = object if isinstance(value, str) else np.int64
            return replace(index, **{name: np.array(column, kind)})

        return of_index(change)

    every = ("path", "offset", "length", "label", "width", "height", "sha1", "source", "record")
    yield Case(COUNTS, "a row less", of_index(lambda i: rows(i, IMAGES - 1)), harmless=True)
    yield Case(COUNTS, "no rows", of_index(lambda i: rows(i, 0)), harmless=True)
    for name in ("offset", "length"):
        for value in (-1, -100, FAR, 10**9, 0):
            yield Case(SIZES, f"{name} {value}", with_column(name, value), "image 3")
    yield Case(SIZES, "another checksum", with_column("sha1", "0" * 40), "image 3")
    for path in ("../../../secret", "/etc/passwd", "shards/../../x", "", "shards/9999.zip", "\0"):
        yield Case(TRAVERSAL, f"path {path!r}", with_column("path", path))
    for name in every:
        yield Case(COUNTS, f"no column {name}", partial(without_column, name=name))
    for name in ("width", "height"):
        yield Case(BOMBS, f"a {name} of {FAR}", with_column(name, FAR), harmless=True)
    long = "shards/" + "x" * (8 << 20)
    yield Case(BOMBS, "a path of eight megabytes", with_column("path", long))
    yield Case(
        PICKLES,
        "a path that is a pickle",
        with_column("path", hostile_pickles()[0].decode("latin1")),
    )


def of_index(change: Callable[[Index], Index]) -> Damage:
    def damage(file: Path) -> None:
        write_index(file, change(read_index(file)))

    return damage


def rows(index: Index, count: int) -> Index:
    return Index(**{name: column[:count] for name, column in vars(index).items()})


def without_column(file: Path, name: str) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    pq.write_table(table.drop_columns([name]), file)


NO_NAMES = {TRAVERSAL: "stray bytes between its parts"}
FORMATS = (
    Format("JPEG", partial(make_picture, name="x.jpg"), read_set, picture_cases,
           (FLIPS, COUNTS, SIZES, TRAVERSAL, PICKLES), (), NO_NAMES),
    Format("PNG", partial(make_picture, name="x.png"), read_set, picture_cases,
           (FLIPS, COUNTS, SIZES, TRAVERSAL, PICKLES), (), NO_NAMES),
    Format("ZIP shard of a set", partial(make_store, damaged="shards/0000.zip"), read_store,
           shard_cases, (), (MAGIC,)),
    Format("index of a set (Parquet)", partial(make_store, damaged="index.parquet"), read_store,
           index_cases, (FLIPS, COUNTS, TRUNCATION)),
)  # fmt: skip
