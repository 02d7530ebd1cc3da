"""MegaFace, challenge 1, as InsightFace packs it: aligned probes of FaceScrub, and distractors.

The lists facescrub_lst and megaface_lst, a path a line, relative to facescrub_images/ and
megaface_images/; the folder of a probe is its person. The lists of MegaFace's own kit
(templatelists/*.json, `{"path": [..]}`) do as well. With `clean`, facescrub_noises.txt and
megaface_noises.txt name images that are left out, however they spell them
(stages/datasets/_exclusion.py): InsightFace's names differ from the kit's.
Source: github.com/deepinsight/insightface, recognition/_evaluation_/megaface.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._exclusion import left_out
from stages.datasets._files import read_image, refuse_outside
from stages.datasets._source import Record, Records, Source

ORIGIN = (
    "put InsightFace's MegaFace test pack there (facescrub_lst, facescrub_images/, megaface_lst, "
    "megaface_images/): github.com/deepinsight/insightface, recognition/_evaluation_/megaface"
)
GIVES = ("distractors",)  # lists, and what is known of its images
NOISE_ORIGIN = (
    "put facescrub_noises.txt and megaface_noises.txt of InsightFace's MegaFace test pack there "
    "(github.com/deepinsight/insightface, recognition/_evaluation_/megaface), or set "
    "`clean: false`, which leaves out no image and gives other figures"
)
OTHER_NOISE = (
    "give the list of noise that belongs to these images; where it names none of them (a small "
    "gallery has none of the noise, say), leave the file empty"
)
NO_SUBJECT = -1


class Params(Section):
    """Which lists.

    Attributes:
        probes, distractors: lists of images, relative to the root; the first N distractors make the
            gallery of N.
        clean: leave out what facescrub_noises.txt and megaface_noises.txt name (the figures called
            refined); otherwise neither file is read.
    """

    probes: str = "facescrub_lst"
    distractors: str = "megaface_lst"
    clean: bool = True


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """Probes, then distractors, each in the order of its list.

    Table `distractors`: record, role (probe, distractor), subject (-1 for distractors).

    Args:
        reader: of no consequence here.

    Raises:
        InputError: a list is missing or malformed, a list of noise names no image of the set, or
            one that may be either of two, a path leads out of its folder, or that of a probe has
            none; while iterating, an image is missing.
    """
    files: list[tuple[Path, str, Path, int]] = []
    counts = []
    for name, part in ((params.probes, "facescrub"), (params.distractors, "megaface")):
        listing, folder = root / name, root / f"{part}_images"
        named = _paths(listing)
        for number, path in enumerate(named, 1):
            refuse_outside(folder, path, listing, f"entry {number}")
        noise = _noise(root / f"{part}_noises.txt", named) if params.clean else set()
        paths = [
            (listing, path, folder, number)
            for number, path in enumerate(named, 1)
            if path not in noise
        ]
        files += paths
        counts.append(len(paths))
    people = [_person(file) for file in files[: counts[0]]]
    subject = np.unique(np.array(people, str), return_inverse=True)[1]
    table = {
        "record": np.arange(len(files)),
        "role": np.repeat(["probe", "distractor"], counts),
        "subject": np.concatenate([subject, np.full(counts[1], NO_SUBJECT)]),
    }

    def record(file: tuple[Path, str, Path, int]) -> Record:
        listing, path, folder, number = file
        image = read_image(folder / path, listing, f"entry {number}")
        return Record(f"{folder.name}/{path}", UNKNOWN_LABEL, image)

    def names() -> Iterator[str]:
        return (f"{folder.name}/{path}" for _, path, folder, _ in files)

    return Source(Records(len(files), lambda: map(record, files), names), {"distractors": table})


def _person(file: tuple[Path, str, Path, int]) -> str:
    """The folder of a probe. Raise InputError if it has none: all such would be one person."""
    listing, path, _, number = file
    if name := PurePosixPath(path).parent.name:
        return name
    problem = f"{path!r} has no folder, which is the name of the person"
    raise InputError(listing, problem, "write person/file", f"entry {number}")


def _paths(listing: Path) -> list[str]:
    """The paths of a list, either a path a line or the JSON of MegaFace's kit."""
    text = _text(listing, ORIGIN)
    if not text.lstrip().startswith("{"):
        paths = [line[0].rstrip() for line in re.finditer(r"\S.*", text)]
    else:
        try:
            paths = json.loads(text).get("path")
        except (ValueError, RecursionError) as fault:
            raise InputError(listing, f"not JSON ({fault})", ORIGIN) from None
        if not (isinstance(paths, list) and all(isinstance(p, str) and p for p in paths)):
            raise InputError(listing, "no list `path` of file names", ORIGIN)
    if not paths:
        raise InputError(listing, "names no image", ORIGIN)
    return paths


def _noise(listing: Path, paths: list[str]) -> set[str]:
    """Those of the paths that a list of noise names."""
    return left_out(listing, _text(listing, NOISE_ORIGIN), paths, OTHER_NOISE)


def _text(listing: Path, origin: str) -> str:
    try:
        return listing.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InputError(listing, f"the list is not UTF-8 ({fault})", "save it as UTF-8") from None
    except OSError as fault:
        raise InputError(listing, f"cannot read the list ({fault})", origin) from None
