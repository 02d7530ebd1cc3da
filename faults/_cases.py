"""Damage to a file: what is done to it, and what its reader may do about it."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

KINDS = (
    "truncation",
    "bit flips",
    "wrong magic",
    "counts that lie",
    "path traversal",
    "sizes that lie",
    "hostile pickles",
    "bombs",
)
TRUNCATION, FLIPS, MAGIC, COUNTS, TRAVERSAL, SIZES, PICKLES, BOMBS = KINDS
CANARY = Path("executed")  # in the folder of the case: what a hostile file tries to make
CUTS, SINGLE_FLIPS, BURSTS = 10, 16, 8  # random cases of each kind
BURST = 16  # bits

Damage = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One damaged file.

    Attributes:
        kind: of fault.
        name: what is done.
        damage: does it to the file.
        record: pattern that the record of the error must match; None where the file as a whole may
            be meant, and where the case is drawn at random.
        harmless: a reader may also not care; it then gives what the whole file gives.
    """

    kind: str
    name: str
    damage: Damage
    record: str | None = None
    harmless: bool = False


@dataclass(frozen=True)
class Format:
    """One format of files.

    Attributes:
        name: of the format.
        make: writes a valid sample into the folder, and returns the file to be damaged.
        read: reads it in the current folder as a stage does, to the last pixel; a digest of all.
        cases: faults of this format, beside those that any file can have.
        unchecked: kinds of fault after which other contents may pass, since the format has no
            checksum: a flipped bit of a number is another number.
        unseen: kinds of fault that may pass without a word: they hit a part that nobody reads.
        instead: what is tried in the place of a kind that does not apply.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[], str]
    cases: Callable[[Path, Random], Iterable[Case]]
    unchecked: tuple[str, ...] = (FLIPS,)
    unseen: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)


def of_bytes(change: Callable[[bytes], bytes]) -> Damage:
    """Damage that makes other bytes of a file's bytes."""

    def damage(file: Path) -> None:
        file.write_bytes(change(file.read_bytes()))

    return damage


def becomes(content: bytes | str) -> Damage:
    """Damage that puts `content` in the place of the whole file."""
    made = content.encode() if isinstance(content, str) else content
    return of_bytes(lambda _: made)


def replaced(old: bytes, new: bytes, count: int = 1) -> Damage:
    """Damage that puts `new` in the place of `old`, which must be there."""

    def change(content: bytes) -> bytes:
        if old not in content:
            raise AssertionError(f"{old!r} is not in the sample")
        return content.replace(old, new, count)

    return of_bytes(change)


def put(at: int, new: bytes) -> Damage:
    """Damage that overwrites the bytes from `at` on, counted from the end if negative."""

    def change(content: bytes) -> bytes:
        start = at % len(content)
        return content[:start] + new + content[start + len(new) :]

    return of_bytes(change)


def any_file(sample: bytes, draw: Random) -> Iterator[Case]:
    """What can happen to a file of any format: cut off, flipped, of another kind, a pickle."""
    size = len(sample)
    ends = {0, 1, size // 2, size - 1} | {draw.randrange(size) for _ in range(CUTS)}
    for end in sorted(ends):
        yield Case(TRUNCATION, f"cut at byte {end} of {size}", cut(end), harmless=True)
    for _ in range(SINGLE_FLIPS):
        bit = draw.randrange(8 * size)
        yield Case(FLIPS, f"bit {bit}", flipped([bit]), harmless=True)
    for _ in range(BURSTS):
        bits = draw.sample(range(8 * size), min(BURST, 8 * size))
        yield Case(FLIPS, f"bits {bits}", flipped(bits), harmless=True)
    for name, head in {
        "zeros": bytes(8),
        "of a ZIP": b"PK\x03\x04\x14\0\0\0",
        "of an ELF": b"\x7fELF\x02\x01\x01\0",
        "random": draw.randbytes(8),
    }.items():
        if not sample.startswith(head[:4]):
            yield Case(MAGIC, f"head {name}", put(0, head[:size]))
    for name, content in aliens().items():
        yield Case(MAGIC, f"is {name}", becomes(content))
    for number, content in enumerate(hostile_pickles()):
        yield Case(PICKLES, f"is hostile pickle {number}", becomes(content))


def cut(end: int) -> Damage:
    """Damage that cuts the file off."""
    return of_bytes(lambda content: content[:end])


def flipped(bits: list[int]) -> Damage:
    """Damage that turns these bits over."""

    def change(content: bytes) -> bytes:
        made = bytearray(content)
        for bit in bits:
            made[bit // 8] ^= 1 << bit % 8
        return bytes(made)

    return of_bytes(change)


def aliens() -> dict[str, bytes]:
    """Files that are nobody's."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr(zipfile.ZipInfo("readme.txt"), "hello")  # without the time of day
    return {
        "a sentence": b"hello, this is text\n",
        "an HTML page": b"<!DOCTYPE html><html><body>404: not found</body></html>\n",
        "a foreign ZIP": archive.getvalue(),
        "a kilobyte of 0xff": b"\xff" * 1024,
    }


class Calls:
    """Its pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def hostile() -> list[Calls]:
    """Objects whose unpickling makes the CANARY."""
    name = str(CANARY)
    return [
        Calls(os.system, f"touch {name}"),
        Calls(eval, f"open({name!r}, 'w').close()"),
        Calls(exec, f"open({name!r}, 'w').close()"),
        Calls(open, name, "w"),
        Calls(Path.touch, CANARY),
    ]


def hostile_pickles() -> list[bytes]:
    """Each of these, in protocols of old and new, alone and within plain data."""
    found = []
    for number, runs in enumerate(hostile()):
        value = runs if number % 2 else {"weight": [b"plain", runs]}
        found += [pickle.dumps(value, protocol) for protocol in (0, 2, 4)]
    return found


def digest_of(*parts: Any) -> str:
    """Of arrays, text and bytes, and of lists and dicts of these."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, dict):
            part = [*part.keys(), *part.values()]
        if isinstance(part, list | tuple):
            digest.update(digest_of(*part).encode())
        elif hasattr(part, "tobytes") and part.dtype.kind != "O":
            digest.update(f"{part.dtype} {part.shape}".encode() + part.tobytes())
        elif hasattr(part, "tolist"):
            digest.update(repr(part.tolist()).encode())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()


def digest_of_folder(folder: Path) -> str:
    """Of the files in a folder, their names and bytes."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return digest_of(*((str(f.relative_to(folder)), f.read_bytes()) for f in files))
