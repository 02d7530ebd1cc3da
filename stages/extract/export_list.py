"""Features as the text files that MagFace's tools read (github.com/IrvingMeng/MagFace).

A feature list has a line `path v1 ... vd ` an image, single spaces and one at the end, the vector
not normalised, each number the shortest text that reads back as the same float32. A quality list
has a line `path norm`. Lines are in the order of the set's index; of a set of pairs, lines 2i and
2i + 1 are the images of a pair, and a pair list has a line `path path 1` or `path path 0` for each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.index import Index, read_index, read_table
from stages.protocols._vectors import positions

# Images out of packs have a number and no path; without its space it can stand for one.
NUMBERED = re.compile(r"(record|image) (\d+)")


def main(
    image_set: str, model: str, out: str, quality: str | None = None, pairs: str | None = None
) -> None:
    """Write the features of `image_set` by `model` as a list, a line an image, or two a pair."""
    index_file = Path("data/align") / image_set / "index.parquet"
    index = read_index(index_file)
    paths = [_path(index_file, name) for name in index.source]
    embedding = _read(image_set, model, "embedding", len(paths))
    asked = [Path(file).resolve() for file in (out, quality, pairs) if file is not None]
    if len(set(asked)) < len(asked):
        raise InputError(out, "is to hold two lists", "give each a file of its own")
    listed = Path("data/unpack") / image_set / "tables/pairs.parquet"
    lines: Iterable[int] = range(len(paths))
    if listed.is_file():
        together, same = _pairs(index, listed)
        lines = together.reshape(-1)
    elif pairs is not None:
        raise InputError(listed, "the set has no pairs", "leave out --pairs")
    with ExitStack() as files:
        features = _writer(files, Path(out))
        for line in lines:
            features.write(" ".join([paths[line], *map(str, embedding[line]), "\n"]))
        if quality is not None:
            norms, norm = _writer(files, Path(quality)), _read(image_set, model, "norm", len(paths))
            norms.writelines(f"{paths[line]} {norm[line]!s}\n" for line in lines)
        if pairs is not None:
            labels = _writer(files, Path(pairs))
            for (left, right), label in zip(together, same, strict=True):
                labels.write(f"{paths[left]} {paths[right]} {int(label)}\n")


def _pairs(index: Index, listed: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each pair, int64 [pairs, 2], and whether it is genuine; both images are there."""
    table = read_table(listed)
    sides = [positions(index.record, np.asarray(table[side])) for side in ("first", "second")]
    rows = np.stack(sides, axis=1)
    there = np.all(rows >= 0, axis=1)
    if lost := np.count_nonzero(~there):
        print(f"{listed}: left out {lost} pairs with an image that is not aligned", file=sys.stderr)
    return rows[there], np.asarray(table["same"], bool)[there]


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
            "--pairs": {"metavar": "FILE", "help": "a list of pairs to write beside it"},
        },
    )
