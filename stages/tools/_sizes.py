"""Images, people and bytes of image sets: counted where a set is, else as published."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.image_set import ImageSet, image_set
from stages.core.index import read_table
from stages.core.params import parse

UNKNOWN = math.nan  # what is computed from it is unknown too
STAGES = (Path("data/align"), Path("data/unpack"))
INDEX_BYTES = 130  # of an image's row in index.parquet
JPEG_BYTES = 8_000  # assumed, of a face of 112 px
CROP_BYTES = 23_000  # assumed, of such a face as PNG: the mean of 200 faces of LFW is 23,300
ASSUMED_BYTES = f"{JPEG_BYTES / 1000:g} kB an image, {CROP_BYTES / 1000:g} kB a crop"
# Images and people, by the names in recipes/_data.yaml. A verification pack has two images a pair,
# so that its number is an upper bound: unpack keeps an image that several pairs share once.
PUBLISHED = {
    "ms1mv2": (5_822_653, 85_742),
    "ms1mv3": (5_179_510, 93_431),
    "casia": (490_623, 10_572),
    "webface4m": (4_235_242, 205_990),
    "webface12m": (12_720_066, 617_970),
    "survface_train": (220_890, 5_319),
    "survface": (242_617, UNKNOWN),
    "tinyface": (161_599, UNKNOWN),
    "ijbb": (227_630, UNKNOWN),
    "ijbc": (469_375, UNKNOWN),
    **dict.fromkeys(("lfw", "agedb_30", "calfw", "cplfw"), (12_000, UNKNOWN)),
    **dict.fromkeys(("cfp_ff", "cfp_fp"), (14_000, UNKNOWN)),
    "orl": (200, 20),
    **dict.fromkeys(("orl_pack", "orl_templates", "orl_surveillance"), (200, UNKNOWN)),
}


class SetSize(NamedTuple):
    """An image set.

    Attributes:
        images: number of images.
        people: number of classes; UNKNOWN where images have no labels.
        origin: how these numbers are known.
        unpacked: bytes in data/unpack.
        aligned: bytes in data/align.
        copied: align leaves the images as they are: DVC's cache has both folders' files once.
        assumed: these bytes rest on ASSUMED_BYTES.
    """

    images: float
    people: float
    origin: str
    unpacked: float
    aligned: float
    copied: bool
    assumed: bool


def set_size(name: str, params: dict[str, Any]) -> SetSize:
    """Size of the entry `name` of `datasets`.

    Images are counted in data/align or data/unpack, or by the reader of the vendor's files; where
    there are none, the published number is taken. Bytes that are not there yet are those of the
    pack, or assumed for each image.

    Raises:
        InputError: what is there is damaged.
    """
    entry = image_set(name, params)
    images, people, origin = _count(name, entry)
    aligned, unpacked = (_bytes(folder / name) for folder in STAGES)
    copied = entry.align == "none"
    index, pack = INDEX_BYTES * images, _pack_bytes(entry)
    assumed = not (unpacked or pack) or not (aligned or copied)
    unpacked = unpacked or (pack or JPEG_BYTES * images) + index
    aligned = aligned or (unpacked if copied else CROP_BYTES * images + index)
    return SetSize(images, people, origin, unpacked, aligned, copied, assumed)


def _pack_bytes(entry: ImageSet) -> int:
    """Of a file with all images of a set; 0 where there is none."""
    root = Path(entry.root)
    pack = root / "train.rec" if entry.format == "recordio" else root
    return pack.stat().st_size if entry.format in ("recordio", "bin") and pack.is_file() else 0


def _count(name: str, entry: ImageSet) -> tuple[float, float, str]:
    """Images, people, and how they are known."""
    for folder in STAGES:
        if (index := folder / name / "index.parquet").is_file():
            labels = read_table(index, ["label"])["label"]
            people = int(labels.max(initial=-1)) + 1
            return len(labels), people or UNKNOWN, f"counted in {folder}"
    root = Path(entry.root)
    if root.exists():
        reader = importlib.import_module(f"stages.datasets.{entry.format}")
        records = reader.read(root, parse(reader.Params, entry.options, f"datasets.{name}")).records
        return len(records), _people(entry.format, root, records), "counted in the vendor's files"
    if name in PUBLISHED:
        return *PUBLISHED[name], "published size"
    return UNKNOWN, UNKNOWN, "unknown, in no total"


def _people(kind: str, root: Path, records: Any) -> float:
    """Number of classes, from names and lists alone: no image is read."""
    if kind == "recordio" and (root / "property").is_file():
        return int((root / "property").read_text().split(",")[0])
    if kind == "folder":
        return len({name.partition("/")[0] for name in records.names()})
    if kind == "list":
        lines = map(str.split, root.read_text().splitlines())
        return 1 + max((int(words[2]) for words in lines if len(words) > 2), default=UNKNOWN)
    return UNKNOWN


def _bytes(folder: Path) -> int:
    """Of an image set's images and index; 0 where there is none."""
    index = folder / "index.parquet"
    if not index.is_file():
        return 0
    return int(read_table(index, ["length"])["length"].sum()) + index.stat().st_size
