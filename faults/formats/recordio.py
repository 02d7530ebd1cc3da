"""InsightFace's training pack: train.rec, with and without its .idx, train.idx, property."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from faults._cases import (
    BOMBS,
    COUNTS,
    PICKLES,
    SIZES,
    TRAVERSAL,
    Case,
    Damage,
    Format,
    becomes,
    hostile_pickles,
    of_bytes,
)
from faults.formats._sets import bombs, describe, picture, read_set
from stages.datasets._rec import (
    CHUNK,
    HEADER,
    LENGTH_BITS,
    LONGEST,
    MAGIC_BYTES,
    Reader,
    Writer,
    pack,
)
from stages.datasets._training_pack import write_training_pack

LABELS = [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
AIM = 4  # the record that is damaged
NAMED = f"record {AIM}"
FAR = 1 << 62


def make(folder: Path, damaged: str, has_index: bool = True) -> Path:
    root = folder / "pack"
    write_training_pack(root, LABELS, map(picture, range(len(LABELS))))
    if not has_index:
        (root / "train.idx").unlink()
    describe(folder, "recordio", "pack")
    return root / damaged


def repacked(key: int, payload: bytes) -> Damage:
    """The pack with another payload for one record; .rec and .idx fit."""

    def damage(file: Path) -> None:
        idx = file.with_suffix(".idx")
        reader = Reader(file, idx)
        payloads = {k: bytes(reader[k]) for k in reader.keys.tolist()} | {key: payload}
        has_index = idx.exists()
        with Writer(file, idx) as writer:
            for k, content in payloads.items():
                writer.write(k, content)
        if not has_index:
            idx.unlink()

    return damage


def chunk(flag: int, length: int) -> Damage:
    """Another continuation flag and length in the head of record AIM."""

    def change(content: bytes) -> bytes:
        at = content.index(pack(0, LABELS[AIM - 1], AIM, 0, picture(AIM - 1))) - CHUNK.size
        head = MAGIC_BYTES + struct.pack("<I", flag << LENGTH_BITS | length)
        return content[:at] + head + content[at + CHUNK.size :]

    return of_bytes(change)


def rec_cases(file: Path, draw: Random) -> Iterator[Case]:
    image = picture(AIM - 1)
    labels = {"2**32 - 1": 2**32 - 1, "a million": 10**6, "100 and no room for them": 100}
    for name, flag in labels.items():
        payload = HEADER.pack(flag, 0.0, AIM, 0) + image[:64]
        yield Case(COUNTS, f"{name} labels", repacked(AIM, payload), NAMED)
    ends = {"1e18": 1e18, "NaN": math.nan, "-1": -1.0, "1.5": 1.5, "a million": 1e6, "0": 0.0}
    for name, end in ends.items():
        bound = pack(2, [end, 3], 0, 0, b"")
        yield Case(COUNTS, f"ids up to {name}", repacked(0, bound), r"record \d+")
    whole = len(pack(0, 1, AIM, 0, image))
    sizes = {"4 more": whole + 4, "4 less": whole - 4, "no": 0, "8 more": whole + 8}
    sizes["half a gigabyte of"] = LONGEST
    for name, size in sizes.items():
        damage = chunk(0, size)
        yield Case(SIZES, f"{name} bytes", damage, r"record \d+")
    for flag in (1, 2, 3, 5):
        yield Case(SIZES, f"continuation flag {flag}", chunk(flag, whole), r"record \d+")
    for label in (math.nan, math.inf, -1.0, 0.5, 1e9):
        payload = pack(0, label, AIM, 0, image)
        yield Case(TRAVERSAL, f"label {label}", repacked(AIM, payload), NAMED)
    for number, content in enumerate(hostile_pickles()):
        payload = pack(0, 1, AIM, 0, content)
        yield Case(PICKLES, f"image is pickle {number}", repacked(AIM, payload), NAMED)
    for name, content in bombs().items():
        yield Case(BOMBS, name, repacked(AIM, pack(0, 1, AIM, 0, content)), NAMED)
    yield Case(BOMBS, "a million empty chunks", becomes((MAGIC_BYTES + bytes(4)) * 10**6))
    yield Case(BOMBS, "a record in a million chunks", becomes(in_pieces(10**6)))


def in_pieces(count: int) -> bytes:
    flags = [1, *[2] * (count - 2), 3]
    return b"".join(MAGIC_BYTES + struct.pack("<I", flag << LENGTH_BITS) for flag in flags)


def idx_cases(file: Path, draw: Random) -> Iterator[Case]:
    lines = file.read_text().splitlines()

    def with_line(row: int, *new: str) -> Damage:
        return becomes("\n".join([*lines[:row], *new, *lines[row + 1 :]]) + "\n")

    key, offset = lines[AIM].split("\t")
    yield Case(COUNTS, "a line less", with_line(AIM), r"record \d+")
    yield Case(COUNTS, "a line twice", with_line(AIM, lines[AIM], lines[AIM]), r"record \d+")
    yield Case(
        COUNTS, "a line more", with_line(AIM, lines[AIM], f"999\t{int(offset) + 4}"), r"record \d+"
    )
    yield Case(COUNTS, "only the first line", becomes(lines[0] + "\n"), r"record \d+")
    yield Case(COUNTS, "a number less", with_line(AIM, key), f"line {AIM + 1}")
    yield Case(COUNTS, "a number more", with_line(AIM, f"{key}\t{offset}\t3"), f"line {AIM + 1}")
    for name, value in {
        "4 more": int(offset) + 4, "1 more": int(offset) + 1, "4 less": int(offset) - 4,
    }.items():  # fmt: skip
        yield Case(SIZES, f"offset {name}", with_line(AIM, f"{key}\t{value}"), r"record \d+")
    for value in (-4, FAR, 10**9, -FAR):
        yield Case(
            TRAVERSAL, f"offset {value}", with_line(AIM, f"{key}\t{value}"), r"(record|line) \d+"
        )
    yield Case(TRAVERSAL, "offset 10**30", with_line(AIM, f"{key}\t{10**30}"), r"(record|line) \d+")
    for value in (-5, FAR, "../../x"):
        yield Case(
            TRAVERSAL, f"key {value}", with_line(AIM, f"{value}\t{offset}"), r"(record|line) \d+"
        )
    yield Case(BOMBS, "a million lines 0 0", becomes("0\t0\n" * 10**6))
    yield Case(BOMBS, "a number of a million digits", becomes("1" * 10**6 + "\t0\n"))
    yield Case(BOMBS, "eight megabytes of line ends", becomes("\n" * (8 << 20)))
    yield Case(BOMBS, "eight megabytes of spaces", becomes(" " * (8 << 20)))

    def far_key(file: Path) -> None:
        with_line(len(lines) - 1, f"{FAR}\t{lines[-1].split(chr(9))[1]}")(file)
        repack_bound(file.with_suffix(".rec"))

    yield Case(BOMBS, "a last key of 2**62 and as many ids", far_key, r"record \d+")


def repack_bound(rec: Path) -> None:
    """Say in record 0 that ids end at 1e18."""
    content = rec.read_bytes()
    at = CHUNK.size + HEADER.size
    rec.write_bytes(content[:at] + struct.pack("<f", 1e18) + content[at + 4 :])


def property_cases(file: Path, draw: Random) -> Iterator[Case]:
    for text in ("0,112,112", "-1,112,112", "1,112,112"):
        yield Case(COUNTS, f"says {text}", becomes(text), r"record \d+")
    for text in ("", "nan,112,112", "1e3,112,112", "0x10,1,1", "four,112,112"):
        yield Case(SIZES, f"says {text!r}", becomes(text))
    for name, content in {
        "UTF-16": "4,112,112".encode("utf-16"), "NUL": b"\0\0\0", "not text": b"\xff\xfe\xfd",
        "a path": b"../../etc/passwd",
    }.items():  # fmt: skip
        yield Case(TRAVERSAL, name, becomes(content))
    yield Case(BOMBS, "a number of a million digits", becomes("9" * 10**6))
    yield Case(BOMBS, "eight megabytes of line ends", becomes("\n" * (8 << 20)))


NO_CLASS = {TRAVERSAL: "labels outside the classes"}
FORMATS = (
    Format("RecordIO .rec", partial(make, damaged="train.rec"), read_set, rec_cases,
           instead=NO_CLASS),
    Format("RecordIO .rec, no .idx", partial(make, damaged="train.rec", has_index=False), read_set,
           rec_cases, instead=NO_CLASS),
    Format("RecordIO .idx", partial(make, damaged="train.idx"), read_set, idx_cases,
           instead={TRAVERSAL: "offsets and keys that lead out of the .rec"}),
    Format("RecordIO property", partial(make, damaged="property"), read_set, property_cases,
           instead={TRAVERSAL: "other encodings", SIZES: "non-numeric values"}),
)  # fmt: skip
