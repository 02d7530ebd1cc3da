"""A folder of people, each a folder of images (CASIA-WebFace, VGGFace2 or LFW as shipped)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from stages.core.errors import InputError
from stages.core.params import Section
from stages.datasets._files import read_image
from stages.datasets._source import Record, Records, Source

SUFFIXES = {".jpg", ".jpeg", ".png"}
ORIGIN = "put a folder of people there, each a folder of JPEG or PNG images"


class Params(Section):
    """Which people of the folder.

    Attributes:
        part: `all`, or `train` and `test`, which share no person.
        held_out: share of the people, about, that `test` has and `train` has not.
        most: images of a person at most, the first by name; so that the pairs of a test set are not
            those of its most photographed person.
    """

    part: Literal["all", "train", "test"] = "all"
    held_out: float = Field(0.2, gt=0, lt=1)
    most: int | None = Field(None, gt=0)


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The images of folder `root`, people by name and images by name within a person.

    The label of a person is the rank of the name among the people of the part. Who is held out is
    a matter of the name alone, so that it stays the same when people are added.

    Args:
        reader: of no consequence here.

    Raises:
        InputError: the folder is missing or the part has no images.
    """
    if not root.is_dir():
        raise InputError(root, "folder not found", ORIGIN)
    people = [person for person in _names(root, os.DirEntry.is_dir) if _belongs(person, params)]
    files = [
        (label, f"{person}/{image}")
        for label, person in enumerate(people)
        for image in _images(root / person)[: params.most]
    ]
    if not files:
        raise InputError(root, f"no images in part `{params.part}`", ORIGIN)

    def record(file: tuple[int, str]) -> Record:
        label, name = file
        return Record(name, label, read_image(root / name, root, name))

    return Source(Records(len(files), lambda: map(record, files)))


def _images(person: Path) -> list[str]:
    names = _names(person, os.DirEntry.is_file)
    return [name for name in names if Path(name).suffix.lower() in SUFFIXES]


def _names(folder: Path, kind: Callable[[os.DirEntry], bool]) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if kind(e) and not e.name.startswith("."))


def _belongs(person: str, params: Params) -> bool:
    if params.part == "all":
        return True
    digest = hashlib.sha1(os.fsencode(person)).digest()
    is_held_out = int.from_bytes(digest[:8], "big") < params.held_out * 2**64
    return is_held_out == (params.part == "test")
