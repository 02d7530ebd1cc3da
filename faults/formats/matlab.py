"""MATLAB lists, as QMUL-SurvFace and TinyFace have them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from scipy.io import savemat

from faults._cases import (
    BOMBS,
    COUNTS,
    FLIPS,
    MAGIC,
    PICKLES,
    SIZES,
    TRAVERSAL,
    Case,
    Format,
    becomes,
    hostile_pickles,
    put,
)
from faults.formats._sets import describe, read_set
from tests.datasets.test_survface import TESTS, cells, data_set

NAMES, IDS = ["b.jpg", "a.jpg", "c.png"], [5, 3, 5]
HEADER = 128
GIGABYTE = 1 << 30


def make(folder: Path) -> Path:
    describe(folder, "survface", "survface")
    data_set(folder / "survface")
    return folder / "survface" / TESTS / "gallery_img_ID_pairs.mat"


def saved(compressed: bool = False, **variables: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=compressed)
    return buffer.getvalue()


def listed(names: list[str], ids: object) -> bytes:
    return saved(gallery_set=cells(names), gallery_ids=np.array(ids)[:, None])


def cases(file: Path, draw: Random) -> Iterator[Case]:
    content = file.read_bytes()
    for name, ids in {
        "an id less": IDS[:-1], "an id more": [*IDS, 1], "no ids": [], "a fraction": [5, 3.5, 5],
        "NaN": [5, np.nan, 5], "-1": [5, -1, 5], "2**60": [5, 2**60, 5],
    }.items():  # fmt: skip
        yield Case(COUNTS, name, becomes(listed(NAMES, ids)))
    for name, made in {
        "no ids": saved(gallery_set=cells(NAMES)),
        "no names": saved(gallery_ids=np.array(IDS)),
        "numbers for names": saved(gallery_set=np.array(IDS), gallery_ids=np.array(IDS)),
        "text for names": saved(gallery_set="b.jpg", gallery_ids=np.array(IDS)),
        "a structure": saved(gallery_set={"a": 1}, gallery_ids=np.array(IDS)),
    }.items():
        yield Case(COUNTS, name, becomes(made))
    for path in ("../../secret.jpg", "/etc/passwd", "a/../../../x", "nowhere.jpg", "x\0.jpg"):
        damage = becomes(listed([NAMES[0], path, NAMES[2]], IDS))
        yield Case(TRAVERSAL, f"{path!r}", damage, "entry 2")
    for number, pickled in enumerate(hostile_pickles()[:6]):
        damage = becomes(listed([NAMES[0], pickled.decode("latin1"), NAMES[2]], IDS))
        yield Case(PICKLES, f"pickle {number} for a name", damage, "entry 2")
    for name, (at, new) in {
        "an element of 4 GiB": (HEADER + 4, b"\xff\xff\xff\xff"),
        "an element of no bytes": (HEADER + 4, bytes(4)),
        "an element of 8 bytes more": (HEADER + 4, struct.pack("<I", first_size(content) + 8)),
        "an element of 8 bytes less": (HEADER + 4, struct.pack("<I", first_size(content) - 8)),
        "dimensions of 2**31 - 1": (HEADER + 32, b"\xff\xff\xff\x7f\xff\xff\xff\x7f"),
        "negative dimensions": (HEADER + 32, b"\xff\xff\xff\xff"),
        "1,000 dimensions": (HEADER + 28, struct.pack("<I", 4000)),
    }.items():
        yield Case(SIZES, name, put(at, new))
    yield Case(MAGIC, "of MATLAB 7.3", put(HEADER - 4, b"\x00\x02IM"))
    yield Case(MAGIC, "of another byte order", put(HEADER - 2, b"MI"))
    head = content[:HEADER]
    zeros = zlib.compress(element(14, bytes(GIGABYTE // 4)), 9)
    yield Case(BOMBS, "256 MiB in 256 KiB", becomes(head + element(15, zeros)))
    empty = matrix(4, b"a" * 0, b"")
    many = matrix(1, b"gallery_set", empty * 300_000, count=300_000)
    packed = zlib.compress(element(14, many[8:]), 9)
    yield Case(BOMBS, "300,000 empty cells", becomes(head + element(15, packed)))
    nested = b""
    for _ in range(2_000):
        nested = matrix(1, b"a", nested, count=1)
    yield Case(BOMBS, "cells 2,000 deep", becomes(head + nested))
    twice = zlib.compress(element(15, zlib.compress(element(15, zlib.compress(bytes(10**6))))))
    yield Case(BOMBS, "compressed within compressed", becomes(head + element(15, twice)))


def first_size(content: bytes) -> int:
    return struct.unpack_from("<I", content, HEADER + 4)[0]


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content


def matrix(kind: int, name: bytes, content: bytes, count: int = 0) -> bytes:
    padded = name + bytes(-len(name) % 8)
    parts = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", count, 1))
    return element(14, parts + struct.pack("<II", 1, len(name)) + padded + content)


FORMATS = (Format("MATLAB list (.mat)", make, read_set, cases, (FLIPS, MAGIC)),)
