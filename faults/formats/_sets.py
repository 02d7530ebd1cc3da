"""Image sets, read as the stages unpack and align read them: to the last pixel."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import yaml

from faults._cases import digest_of, digest_of_folder
from stages.core.index import read_table
from stages.datasets._store import ImageStore
from stages.unpack.__main__ import main as unpack
from tests.datasets.samples import jpeg, png

NAME = "set"


def describe(folder: Path, format: str, root: str, **options: object) -> None:
    """Write a params.yaml with one image set."""
    entry = {"format": format, "root": root, "align": "none", **options}
    params = {"unpack": {"reader": "native"}, "datasets": {NAME: entry}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def read_set() -> str:
    """Unpack the set in the current folder, and decode every image; a digest of everything."""
    shutil.rmtree("data", ignore_errors=True)
    with contextlib.redirect_stderr(io.StringIO()):
        unpack(NAME)
    return digest_of(read_store(), digest_of_folder(Path("data/unpack", NAME)))


def read_store() -> str:
    """Every image of the unpacked set, and its tables."""
    folder = Path("data/unpack", NAME)
    store = ImageStore(folder)
    pixels = [store.image(row) for row in range(len(store))]
    tables = [read_table(path) for path in sorted((folder / "tables").glob("*.parquet"))]
    return digest_of(len(store), store.index.source, pixels, tables)


def picture(number: int) -> bytes:
    return (png if number % 3 == 2 else jpeg)(number, 24, 20)


def bombs() -> dict[str, bytes]:
    """Pictures of a few hundred bytes that claim to be gigabytes, or are."""
    small = jpeg(0)
    frame = small.index(b"\xff\xc0") + 5
    large = small[:frame] + struct.pack(">HH", 65_500, 65_500) + small[frame + 4 :]
    return {
        "a JPEG of 65,500 x 65,500 pixels": large,
        "a progressive JPEG of 3,600 x 3,600 pixels": progressive(3_600),
        "a PNG of 60,000 x 60,000 pixels": png_of_zeros(60_000, 1_000),
        "a PNG of 6,000 x 6,000 pixels, all there": png_of_zeros(6_000, 6_000),
    }


def png_of_zeros(side: int, rows: int) -> bytes:
    """A grey PNG of which `rows` rows are there."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(side + 1)) for _ in range(rows)) + packer.flush()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    made = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        made += struct.pack(">I", len(content)) + kind + content
        made += struct.pack(">I", zlib.crc32(kind + content))
    return made


def progressive(side: int) -> bytes:
    """A progressive JPEG of one colour."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(
        buffer, "JPEG", progressive=True, subsampling=0
    )
    return buffer.getvalue()
