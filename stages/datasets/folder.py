"""A folder of people, each a folder of images (CASIA-WebFace, VGGFace2 or LFW as shipped)."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from stages.core.errors import InputError
from stages.core.params import Section
from stages.datasets._files import SUFFIXES, read_image
from stages.datasets._source import Record, Records, Source

ORIGIN = "put a folder of people there, each a folder of JPEG or PNG images"
GIVES = ("labels",)  # lists, and what is known of its images


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

    @model_validator(mode="after")
    def _held_out_of_a_part(self) -> Params:
        if self.part == "all" and "held_out" in self.model_fields_set:
            raise ValueError("held_out needs part: train, or part: test")
        return self


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """The images of folder `root`, people by name and images by name within a person.

    The label of a person is the rank of the name among those of the part who have images. Who is
    held out is a matter of the name alone, so that it stays the same when people are added. What is
    no image by its name is left out, and counted on stderr.

    Args:
        reader: of no consequence here.

    Raises:
        InputError: the folder is missing or the part has no images.
    """
    if not root.is_dir():
        raise InputError(root, "folder not found", ORIGIN)
    people = [e.name for e in _entries(root) if e.is_dir()]
    people = [name for name in _readable(root, people) if _belongs(name, params)]
    images: dict[str, list[str]] = {}
    others = 0
    for person in people:
        entries = _entries(root / person)
        found = [e.name for e in entries if Path(e.name).suffix.lower() in SUFFIXES and e.is_file()]
        others += len(entries) - len(found)
        if found:
            images[person] = _readable(root / person, found)
    files = [
        (label, f"{person}/{image}")
        for label, (person, found) in enumerate(images.items())
        for image in found[: params.most]
    ]
    if others:
        kinds = ", ".join(sorted(SUFFIXES))
        print(f"{root}: left out {others} files and folders, no images ({kinds})", file=sys.stderr)
    if not files:
        raise InputError(root, f"no images in part `{params.part}`", ORIGIN)

    def record(file: tuple[int, str]) -> Record:
        label, name = file
        return Record(name, label, read_image(root / name, root, name))

    def names() -> Iterator[str]:
        return (name for _, name in files)

    return Source(Records(len(files), lambda: map(record, files), names))


def _entries(folder: Path) -> list[os.DirEntry]:
    """What is in `folder` and not hidden, by name."""
    with os.scandir(folder) as there:
        return sorted((e for e in there if not e.name.startswith(".")), key=attrgetter("name"))


def _readable(folder: Path, names: list[str]) -> list[str]:
    """The names. Raise InputError if one cannot be written down."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = str(os.fsencode(name))
            raise InputError(folder, "the name is not UTF-8", "rename it", shown) from None
    return names


def _belongs(person: str, params: Params) -> bool:
    if params.part == "all":
        return True
    digest = hashlib.sha1(os.fsencode(person)).digest()
    is_held_out = int.from_bytes(digest[:8], "big") < params.held_out * 2**64
    return is_held_out == (params.part == "test")
