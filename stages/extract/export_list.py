"""Features as the text files that MagFace's tools read (github.com/IrvingMeng/MagFace).

A feature list has a line `path v1 ... vd ` an image, single spaces and one at the end, the vector
not normalised, each number the shortest text that reads back as the same float32. A quality list
has a line `path norm`. Lines are in the order of the set's index, as MagFace's are in the order of
its image list: what pairs lines 2i and 2i + 1 relies on it.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.index import read_index

# Images out of packs have a number and no path; without its space it can stand for one.
NUMBERED = re.compile(r"(record|image) (\d+)")


def main(image_set: str, model: str, out: str, quality: str | None = None) -> None:
    """Write the features of `image_set` by `model` as a list, one line an image."""
    index_file = Path("data/align") / image_set / "index.parquet"
    paths = [_path(index_file, name) for name in read_index(index_file).source]
    embedding = _read(image_set, model, "embedding", len(paths))
    if quality is not None and Path(quality).resolve() == Path(out).resolve():
        raise InputError(out, "is to hold both lists", "give --quality a file of its own")
    with ExitStack() as files:
        features = _writer(files, Path(out))
        for path, vector in zip(paths, embedding, strict=True):
            features.write(" ".join([path, *map(str, vector), "\n"]))
        if quality is not None:
            norms = _writer(files, Path(quality))
            for path, norm in zip(paths, _read(image_set, model, "norm", len(paths)), strict=True):
                norms.write(f"{path} {norm!s}\n")


def _writer(files: ExitStack, path: Path) -> TextIO:
    """Both lists take their places when `files` closes, or neither does."""
    scratch = files.enter_context(atomic_file(path))
    return files.enter_context(open(scratch, "w", encoding="utf-8", newline="\n"))


def _path(index_file: Path, name: str) -> str:
    if match := NUMBERED.fullmatch(name):
        return f"{match[1]}_{match[2]}"
    if name.split() != [name]:
        raise InputError(
            index_file,
            "a path with a space cannot stand in a feature list",
            "rename the image in the data set, and run dvc repro",
            repr(name),
        )
    return name


def _read(image_set: str, model: str, part: str, rows: int) -> np.ndarray:
    """The array by memory map, so that a set of any size needs the memory of one row."""
    file = Path("data/features") / image_set / model / f"{part}.npy"
    remedy = "run dvc repro"
    try:
        values = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as fault:
        raise InputError(file, f"cannot read the features ({fault})", remedy) from None
    if len(values) != rows:
        raise InputError(file, f"{len(values)} rows for {rows} images", remedy)
    return values


if __name__ == "__main__":
    start(
        main,
        "image_set",
        "model",
        options={
            "--out": {"required": True, "metavar": "FILE", "help": "the feature list to write"},
            "--quality": {"metavar": "FILE", "help": "a list of norms to write beside it"},
        },
    )
