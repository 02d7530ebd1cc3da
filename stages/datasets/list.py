"""MagFace's image list: a line `path 0 label 0` an image, single spaces, paths without any.

Lines of a path alone (MagFace's lists for inference) are images without a label. Source: MagFace,
README and `dataloader/dataloader.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages.core.errors import InputError
from stages.core.index import LAST_LABEL, UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._files import read_image, refuse_outside
from stages.datasets._source import Record, Records, Source

ORIGIN = "write a list there, a line `path 0 label 0` an image (github.com/IrvingMeng/MagFace)"
GIVES = ("labels",)  # lists, and what is known of its images


class Params(Section):
    """Where the images are.

    Attributes:
        images: folder that the paths are relative to and lead into; relative to the list's own.
    """

    images: str = "."


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The images of the list `root`, in its order.

    Args:
        reader: of no consequence here.

    Raises:
        InputError: the list is missing, a line is no such line, or its path leads out of the
            folder of images; while iterating, an image is missing.
    """
    try:
        with open(root) as lines:
            numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
            files = [_parsed(root, number, line.rstrip("\n")) for number, line in numbered]
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(root, f"cannot read the list ({fault})", ORIGIN) from None
    folder = root.parent / params.images
    if not files:
        raise InputError(root, "no lines", ORIGIN)
    for number, name, _ in files:
        refuse_outside(folder, name, root, f"line {number}")

    def record(file: tuple[int, str, int]) -> Record:
        number, name, label = file
        return Record(name, label, read_image(folder / name, root, f"line {number}"))

    def names() -> Iterator[str]:
        return (name for _, name, _ in files)

    return Source(Records(len(files), lambda: map(record, files), names))


def _parsed(path: Path, number: int, line: str) -> tuple[int, str, int]:
    """Line number, path and label of a line."""
    words = line.split()
    if len(words) == 1:
        return number, words[0], UNKNOWN_LABEL
    if len(words) != 4 or not _is_label(words[2]):
        problem = f"{line!r} is not `path 0 label 0`"
        raise InputError(
            path, problem, "paths have no spaces, labels count from 0", f"line {number}"
        )
    return number, words[0], int(words[2])


def _is_label(word: str) -> bool:
    return word.isdecimal() and len(word) <= len(str(LAST_LABEL)) and int(word) <= LAST_LABEL
