"""A vendor's pack, folder or list -> images and their index; the encoded bytes are copied."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from tqdm import tqdm

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_folder
from stages.core.image_set import ImageSet
from stages.core.image_set import image_set as read_image_set
from stages.core.index import write_table
from stages.core.params import choose, parse, read_params, section
from stages.datasets._source import Source
from stages.datasets._store import ImageSetWriter
from stages.unpack.params import Params

UNPACKED = Path("data/unpack")
TABLES = "tables"
NONE = (
    "none"  # file of a set without lists: stages depend on the folder, and DVC keeps no empty one
)


def main(image_set: str) -> None:
    """Unpack the entry `image_set` of `datasets` in params.yaml into data/unpack/<image_set>/."""
    params = read_params()
    entry = read_image_set(image_set, params)
    key = f"datasets.{image_set}"
    source = _read(entry, key, section("unpack", Params, params))
    if len(source.records) == 0:
        raise InputError(entry.root, "holds no image", "see that it is complete")
    with atomic_folder(UNPACKED / image_set) as folder:
        with ImageSetWriter(folder, len(source.records), Path(entry.root)) as writer:
            for record in tqdm(source.records, image_set, unit="image", file=sys.stderr):
                writer.add(record.payload, record.name, record.label, record.landmarks)
        _write_tables(folder / TABLES, source)


def _write_tables(folder: Path, source: Source) -> None:
    """The protocol lists, and a table of those that the set lacks."""
    for name, columns in source.tables.items():
        write_table(folder / f"{name}.parquet", columns)
    if source.absent:
        file, origin = zip(*source.absent.values(), strict=True)
        columns = {"table": list(source.absent), "file": list(file), "origin": list(origin)}
        write_table(folder / "absent.parquet", columns)
    if not source.tables:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NONE).touch()


def _read(entry: ImageSet, key: str, settings: Params) -> Source:
    choose("datasets", entry.format, f"{key}.format")
    reader = importlib.import_module(f"stages.datasets.{entry.format}")
    options = parse(reader.Params, entry.options, key)
    return reader.read(Path(entry.root), options, settings.reader)


if __name__ == "__main__":
    start(main, "image_set")
