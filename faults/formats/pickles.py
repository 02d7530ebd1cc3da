"""Verification packs (.bin) and feature pickles: both are pickles of plain data."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np

from faults._cases import (
    BOMBS,
    COUNTS,
    PICKLES,
    SIZES,
    TRAVERSAL,
    Case,
    Format,
    becomes,
    digest_of,
    hostile,
    hostile_pickles,
    replaced,
)
from faults.formats._sets import bombs, describe, picture, read_set
from stages.datasets._features import read_features

PAIRS = 4
IMAGES = [picture(number) for number in range(2 * PAIRS)]
SAME = [True, False, True, False]
ROWS, WIDTH = 6, 5
HEAD = b"\x80\x04"


def make_pack(folder: Path) -> Path:
    describe(folder, "bin", "pack.bin")
    file = folder / "pack.bin"
    file.write_bytes(pickle.dumps((IMAGES, SAME), 4))
    return file


def make_features(folder: Path) -> Path:
    file = folder / "features.pickle"
    file.write_bytes(pickle.dumps(features(), 4))
    return file


def features() -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    return {"img_feats": numbers, "norms": np.linalg.norm(numbers, axis=1, keepdims=True)}


def read_pickled_features() -> str:
    return digest_of(read_features(Path("features.pickle")))


def pack_cases(file: Path, draw: Random) -> Iterator[Case]:
    for name, value in {
        "an odd number of images": (IMAGES[:-1], SAME),
        "a pair less": (IMAGES, SAME[:-1]),
        "a pair more": (IMAGES, [*SAME, True]),
        "no third part": (IMAGES,),
        "three parts": (IMAGES, SAME, SAME),
        "a dict": dict(enumerate(IMAGES)),
        "numbers for images": ([3] * 8, SAME),
    }.items():
        yield Case(COUNTS, name, becomes(pickle.dumps(value, 4)))
    yield Case(COUNTS, "no pair", becomes(pickle.dumps(([], []), 4)))
    for name, value in {
        "2": 2, "None": None, "text": "yes", "NaN": float("nan"), "a tuple": (1, 1), "a list": [1],
    }.items():  # fmt: skip
        wrong = [*SAME[:2], value, *SAME[3:]]
        yield Case(TRAVERSAL, name, becomes(pickle.dumps((IMAGES, wrong), 4)), "pair 2")
    laughs = becomes(lists_of_lists(28))
    yield Case(BOMBS, "a truth value of 2**28 lists", laughs, "pair 0")
    for name, content in bombs().items():
        images = [*IMAGES[:3], content, *IMAGES[4:]]
        yield Case(BOMBS, name, becomes(pickle.dumps((images, SAME), 4)), "image 3")
    for number, content in enumerate(hostile_pickles()[:4]):
        images = [*IMAGES[:3], content, *IMAGES[4:]]
        damage = becomes(pickle.dumps((images, SAME), 4))
        yield Case(PICKLES, f"image is pickle {number}", damage, "image 3")
    for runs in hostile():
        yield Case(PICKLES, "a hostile image", becomes(pickle.dumps(([runs] * 8, SAME), 4)))
    yield from any_pickle(IMAGES[5])


def lists_of_lists(levels: int) -> bytes:
    """A pack with a truth value that is a list of twice a list of twice a list .."""
    value = b"]\x940"
    for level in range(levels):
        value += b"](" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"e\x940"
    return HEAD + value + b"](C\x01aC\x01ae](h" + bytes([levels]) + b"e\x86."


def feature_cases(file: Path, draw: Random) -> Iterator[Case]:
    whole = features()
    numbers, norms = whole["img_feats"], whole["norms"]
    for name, value in {
        "a norm less": {"img_feats": numbers, "norms": norms[1:]},
        "a norm more": {"img_feats": numbers, "norms": np.vstack([norms, norms[:1]])},
        "no rows": {"img_feats": numbers[:0], "norms": norms[:0]},
        "one dimension": {"img_feats": numbers[0], "norms": norms},
        "no features": {"norms": norms},
        "a list": [numbers, norms],
    }.items():
        yield Case(COUNTS, name, becomes(pickle.dumps(value, 4)))
    for name, value in {"NaN": np.nan, "infinity": np.inf, "-infinity": -np.inf}.items():
        wrong = numbers.copy()
        wrong[3, 2] = value
        damage = becomes(pickle.dumps(whole | {"img_feats": wrong}, 4))
        yield Case(TRAVERSAL, name, damage, "img_feats")
    for name, value in {"objects": np.array([[{}]], object), "text": np.array([["a"]])}.items():
        yield Case(TRAVERSAL, name, becomes(pickle.dumps(whole | {"img_feats": value}, 4)))
    for runs in hostile():
        yield Case(PICKLES, "a hostile array", becomes(pickle.dumps(whole | {"norms": runs}, 4)))
        array = np.array([[runs]], object)
        damage = becomes(pickle.dumps(whole | {"img_feats": array}, 4))
        yield Case(PICKLES, "an array of hostile objects", damage)
    many = b"".join(b"C\x04" + struct.pack("<I", n) + b"N" for n in range(10**6))
    yield Case(BOMBS, "a million other keys", becomes(HEAD + b"}(" + many + b"u."))
    yield from any_pickle(numbers.tobytes())


def any_pickle(content: bytes) -> Iterator[Case]:
    """Faults of the format itself; `content` are bytes that the sample holds."""
    for name, opcodes in {
        "GLOBAL": b"cposix\nsystem\n(C\x0etouch executedtR.",
        "STACK_GLOBAL": HEAD + b"\x8c\x05posix\x8c\x06system\x93(\x8c\x0etouch executedtR.",
        "INST": b"(S'touch executed'\niposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\nS'touch executed'\no.",
        "NEWOBJ": HEAD + b"csubprocess\nPopen\n(\x8c\x05touch\x8c\x08executedl\x85\x81.",
        "NEWOBJ_EX": HEAD + b"csubprocess\nPopen\n(\x8c\x05touch\x8c\x08executedl\x85}\x92.",
        "EXT1": HEAD + b"\x82\x01.",
        "a persistent id": HEAD + b"\x8c\x04evilQ.",
        "BUILD": HEAD + b"c_codecs\nencode\n}\x8c\x08__call__cposix\nsystem\nsb.",
    }.items():
        yield Case(PICKLES, name, becomes(opcodes))
    short, long = struct.pack("<I", len(content)), struct.pack("<I", len(content) + 1000)
    if len(content) > 255:
        yield Case(SIZES, "1000 bytes more", replaced(b"B" + short, b"B" + long))
    else:
        size, more = bytes([len(content)]), bytes([255])
        yield Case(SIZES, "bytes to 255", replaced(b"C" + size, b"C" + more))
    for name, opcodes in {
        "4 GiB of bytes": HEAD + b"B\xff\xff\xff\xffabc.",
        "2**62 bytes": HEAD + b"\x8e" + struct.pack("<Q", 2**62) + b"abc.",
        "2**62 bytes of text": HEAD + b"\x8d" + struct.pack("<Q", 2**62) + b"abc.",
        "2**62 bytes of bytearray": HEAD + b"\x96" + struct.pack("<Q", 2**62) + b"abc.",
        "a frame of 2**62 bytes": HEAD + b"\x95" + struct.pack("<Q", 2**62) + b"].",
        "a negative length": b"\x80\x02T\xff\xff\xff\xffabc.",
        "a number of 2**31 - 1 bytes": HEAD + b"\x8b\xff\xff\xff\x7f\x01.",
        "a far memo": b"Nr\xff\xff\xff\x7f.",
        "a memo that is not there": b"j\xff\xff\xff\xff.",
        "an array longer than its bytes": array_of(10**9, 3),
        "a negative shape": array_of(-1, 3),
    }.items():
        yield Case(SIZES, name, becomes(opcodes))
    megabyte = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"\x94"
    again = b"cbuiltins\nbytearray\nh\x00\x85R"
    for name, opcodes in {
        "four million marks": HEAD + b"(" * (4 << 20),
        "four million empty lists": HEAD + b"](" + b"]" * (4 << 20) + b"e.",
        "eight million times the same": HEAD + b"](" + b"]2" + b"2" * (8 << 20) + b"e.",
        "a megabyte copied a thousand times": HEAD + megabyte + b"](" + again * 1000 + b"e.",
        "a number of a million digits": b"I" + b"9" * 10**6 + b"\n.",
        "a long number of a million digits": b"L" + b"9" * 10**6 + b"L\n.",
        "a key of 2**60 tuples": tuples(60, b"}", b"Ns."),
        "a set of 2**60 tuples": tuples(60, b"\x8f(", b"\x90."),
        "a frozenset of 2**60 tuples": tuples(60, b"(", b"\x91."),
        "2**60 tuples": tuples(60, b"", b"."),
        "a million lists deep": HEAD + b"]" * 10**6 + b"a" * (10**6 - 1) + b".",
        "arrays of a megabyte, a thousand": HEAD + megabyte + b"](" + array_again() * 1000 + b"e.",
    }.items():
        yield Case(BOMBS, name, becomes(opcodes))


def tuples(levels: int, before: bytes, after: bytes) -> bytes:
    """A tuple of twice a tuple of twice a tuple .."""
    return HEAD + before + b")" + b"2\x86" * levels + after


def array_of(count: int, there: int) -> bytes:
    """An array of uint8 with the shape (count,) and fewer bytes."""
    honest = pickle.dumps(np.zeros(there, np.uint8), 2)
    shape = b"K" + bytes([there]) + b"\x85"
    if shape not in honest:
        raise AssertionError("no shape in the pickle")
    return honest.replace(shape, b"J" + struct.pack("<i", count) + b"\x85")


def array_again() -> bytes:
    """An array made of the bytes in memo 0."""
    state = b"(K\x01J\x00\x00\x10\x00\x85cnumpy\ndtype\n\x8c\x02u1K\x00K\x01\x87R\x89h\x00t"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return start + state + b"b"


FORMATS = (
    Format("verification pack .bin", make_pack, read_set, pack_cases,
           instead={TRAVERSAL: "values other than true and false"}),
    Format("feature pickle", make_features, read_pickled_features, feature_cases,
           instead={TRAVERSAL: "non-numeric values"}),
)  # fmt: skip
