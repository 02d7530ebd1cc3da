"""Features as NumPy arrays: .npy and .npz."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
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
    of_bytes,
    replaced,
)
from stages.datasets._features import read_features

ROWS, WIDTH = 6, 5
GIGABYTE = 1 << 30


def numbers() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def headed(header: str, content: bytes = b"") -> bytes:
    """A .npy file with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + content


def header(shape: object, kind: object = "'<f4'", fortran: object = False) -> str:
    return f"{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def make(folder: Path, name: str) -> Path:
    file = folder / name
    if name.endswith(".npy"):
        file.write_bytes(npy(numbers()))
    else:
        norms = np.linalg.norm(numbers(), axis=1)
        np.savez_compressed(file, embedding=numbers(), mirrored=numbers() + 1, norms=norms)
    return file


def read(name: str) -> str:
    return digest_of(read_features(Path(name)))


def headers() -> dict[str, dict[str, bytes]]:
    """Wrong .npy files by kind of fault."""
    content = numbers().tobytes()
    wrong = numbers()
    wrong[2, 3] = np.nan
    counts = {
        f"a shape of {shape}": headed(header(shape), content)
        for shape in ("(6, 6)", "(7, 5)", "(30,)", "()", "(0, 5)", "(-1, 7)")
    }
    sizes = {
        "a header of 4 GiB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + content,
        "a header of no bytes": b"\x93NUMPY\x01\x00\x00\x00" + content,
        "a shape of 2**62": headed(header((2**31, 2**31)), content),
        "a shape of 10**30": headed(header((10**30, 5)), content),
        "a shape of floats": headed(header((6.0, 5)), content),
        "numbers of 16 bytes": headed(header((6, 5), "'<f16'"), content),
    }
    kinds = {
        "objects": headed(header((6, 5), "'|O'"), content),
        "text": headed(header((6, 5), "'<U1'"), content),
        "dates": headed(header((6, 5), "'<M8[s]'"), content * 2),
        "records": headed(header((6, 5), "[('a', '<f4')]"), content),
        "subarrays of a gigabyte": headed(header((6, 5), "('<f4', (16384, 16384))"), content),
        "complex numbers": headed(header((3, 5), "'<c8'"), content),
        "NaN": npy(wrong),
    }
    bombs = {
        "a header that is code": headed("__import__('os').system('touch executed')"),
        "a header of 5,000 brackets": headed("(" * 5000 + ")" * 5000),
        "a header of a million brackets": headed("(" * 10**6),
        "a header of 9 ** 9 ** 9": headed(header("(9 ** 9 ** 9, 5)")),
        "a type of 2,000 brackets": headed(header((6, 5), "[" * 2000 + "]" * 2000)),
        "a gigabyte that is not there": headed(header((2**14, 2**14)), content),
    }
    return {COUNTS: counts, SIZES: sizes, TRAVERSAL: kinds, BOMBS: bombs}


def npy_cases(file: Path, draw: Random) -> Iterator[Case]:
    for kind, files in headers().items():
        for name, content in files.items():
            yield Case(kind, name, becomes(content))
    for runs in hostile():
        yield Case(PICKLES, "an array of hostile objects", becomes(npy(np.array([runs], object))))


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in members.items():
            writer.writestr(zipfile.ZipInfo(f"{name}.npy"), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def npz_cases(file: Path, draw: Random) -> Iterator[Case]:
    with np.load(file) as held:
        whole = {name: npy(held[name]) for name in held.files}
    for kind, files in headers().items():
        for name, content in files.items():
            yield Case(kind, f"embedding: {name}", becomes(archive(embedding=content)))
    for name in ("mirrored", "norms"):
        wrong = archive(embedding=npy(numbers()), **{name: npy(numbers()[:-1])})
        yield Case(COUNTS, f"a row less of {name}", becomes(wrong), name)
    yield Case(COUNTS, "two entries less in the directory", of_bytes(fewer_entries), harmless=True)
    inner = replaced(b"PK\x01\x02", b"PK\x01\x09")
    yield Case(SIZES, "a directory that is none", inner)
    for name in ("../../x", "/etc/passwd", "embedding/../embedding"):
        wrong = archive(**whole, **{name: npy(numbers())})
        yield Case(TRAVERSAL, f"an entry {name}", becomes(wrong), harmless=True)
    for runs in hostile():
        wrong = archive(embedding=npy(np.array([runs], object)))
        yield Case(PICKLES, "an array of hostile objects", becomes(wrong))
        wrong = archive(embedding=pickle.dumps(runs))
        yield Case(PICKLES, "a hostile pickle", becomes(wrong))
    zeros = header((GIGABYTE // 16 // WIDTH, WIDTH))
    large = archive(embedding=headed(zeros) + bytes(GIGABYTE // 4))
    yield Case(BOMBS, "256 MiB of zeros in 256 KiB", becomes(large))
    wide = archive(embedding=npy(np.zeros((1 << 22, 5), "u1")))
    yield Case(BOMBS, "20 MiB of bytes, 80 of numbers", becomes(wide))


def fewer_entries(content: bytes) -> bytes:
    at = content.rindex(b"PK\x05\x06")
    return content[: at + 8] + struct.pack("<HH", 1, 1) + content[at + 12 :]


INSTEAD = {TRAVERSAL: "non-numeric types, among them object arrays"}
FORMATS = (
    Format("features .npy", partial(make, name="features.npy"), partial(read, "features.npy"),
           npy_cases, instead=INSTEAD),
    Format("features .npz", partial(make, name="features.npz"), partial(read, "features.npz"),
           npz_cases, ()),
)  # fmt: skip
