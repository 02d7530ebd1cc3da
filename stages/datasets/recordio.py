"""RecordIO packs of InsightFace: train.rec, train.idx, property.

Record 0 is as InsightFace's `face2rec2.py` writes it; `_rec.py` has the format of the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.index import LAST_LABEL
from stages.core.params import Section
from stages.datasets._rec import DAMAGED, SCANNED, Header, Reader, require_distinct, unpacked
from stages.datasets._source import Record, Records, Source

ORIGIN = (
    "put an InsightFace training pack there (train.rec, train.idx, property): "
    "github.com/deepinsight/insightface, recognition/_datasets_"
)
GIVES = ("labels",)  # lists, and what is known of its images


class Params(Section):
    """A pack has no options of its own."""


class MxnetReader:
    """What Reader does, by mxnet.recordio: the vendor's own. Payloads are bytes."""

    def __init__(self, rec_path: Path, idx_path: Path) -> None:
        for path in (rec_path, idx_path):
            if not path.exists():
                raise InputError(path, "file not found", "set unpack.reader to native, or add it")
        if find_spec("mxnet") is None:
            remedy = "set unpack.reader to native, or pip install mxnet==1.9.1 (with numpy below 2)"
            raise InputError("mxnet", "this package is not installed", remedy)
        np.bool = np.bool_  # mxnet 1.9 asks for the name that NumPy 1.24 dropped
        from mxnet.base import MXNetError
        from mxnet.recordio import MXIndexedRecordIO

        self.path = rec_path
        self._failure = MXNetError
        self._file = MXIndexedRecordIO(str(idx_path), str(rec_path), "r")
        self.keys = np.array(self._file.keys)
        require_distinct(self.keys, rec_path)

    def __getitem__(self, key: int) -> bytes:
        """Raise InputError if the record is damaged, KeyError if there is none of this key."""
        try:
            return self._file.read_idx(key)
        except self._failure:
            raise InputError(self.path, "mxnet cannot read it", SCANNED, key) from None

    def unpacked(self, keys: Sequence[int]) -> Iterator[tuple[Header, bytes]]:
        """Header and image of each of `keys`, in their order."""
        return (unpacked(self.path, key, self[key]) for key in keys)


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The images of the pack in folder `root`, in the order of their ids.

    Record 0 with flag > 0 holds the exclusive upper bound of the image ids, which begin at 1 (what
    comes after are one record a person); with flag 0 every record is an image. The label of an
    image is the first if it has several. `property`, a line `classes,height,width`, may be missing.

    Args:
        reader: `native`, or `mxnet` to have mxnet.recordio read the records.

    Raises:
        InputError: a file is missing or damaged; while iterating, a record is damaged or its label
            is none of the classes.
    """
    rec, idx = root / "train.rec", root / "train.idx"
    if not rec.exists():
        raise InputError(rec, "file not found", ORIGIN)
    file = MxnetReader(rec, idx) if reader == "mxnet" else Reader(rec, idx)
    classes = _classes(root / "property")

    def record(key: int, unpacked: tuple[Header, bytes | memoryview]) -> Record:
        header, image = unpacked
        label = float(header.label if header.flag == 0 else header.label[0])
        if not (label.is_integer() and 0 <= label < classes):
            problem = f"label {label:g} is no class of 0..{classes - 1}"
            raise InputError(rec, problem, "mend `property`, or get the pack again", key)
        return Record(f"record {key}", int(label), image)

    keys = _image_keys(file)

    def names() -> Iterator[str]:
        return (f"record {key}" for key in keys)

    return Source(Records(len(keys), lambda: map(record, keys, file.unpacked(keys)), names))


def _image_keys(file: Reader | MxnetReader) -> list[int]:
    keys = np.sort(file.keys)
    if 0 not in file.keys:
        return keys.tolist()
    header, image = next(file.unpacked([0]))
    if header.flag == 0:
        return keys.tolist()
    if len(image):
        problem = f"flag {header.flag} makes it the header, and it has an image"
        raise InputError(file.path, problem, "pack images from key 1, behind an empty record", 0)
    bound = float(header.label[0])
    if not (bound.is_integer() and bound >= 1):
        raise InputError(file.path, f"says that image ids end at {bound:g}", DAMAGED, 0)
    images = np.arange(1, min(int(bound), len(file.keys) + 2))  # one too many at most
    missing = np.setdiff1d(images, file.keys)
    if len(missing):
        raise InputError(file.path, "not in the .idx", SCANNED, int(missing[0]))
    return images.tolist()


def _classes(path: Path) -> int:
    """Number of classes; as many as there may be where there is no file that says."""
    if not path.exists():
        return LAST_LABEL + 1
    try:
        return min(int(path.read_text().split(",")[0]), LAST_LABEL + 1)
    except ValueError:
        raise InputError(path, "not `classes,height,width`", "get the pack again") from None
