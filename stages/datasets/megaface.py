"""MegaFace, challenge 1, as InsightFace packs it: aligned probes of FaceScrub, and distractors.

The lists facescrub_lst and megaface_lst, a path a line, relative to facescrub_images/ and
megaface_images/; the folder of a probe is its person. With `clean`, facescrub_noises.txt and
megaface_noises.txt name files that are left out. The lists of MegaFace's own kit
(templatelists/*.json, `{"path": [..]}`) do as well.
Source: github.com/deepinsight/insightface, recognition/_evaluation_/megaface.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

import numpy as np

from stages.core.errors import InputError
from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
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
        InputError: a list is missing or malformed, or a path leads out of its folder; while
            iterating, an image is missing.
    """
    files: list[tuple[Path, str, Path, int]] = []
    counts = []
    for name, part in ((params.probes, "facescrub"), (params.distractors, "megaface")):
        listing, folder = root / name, root / f"{part}_images"
        noise = _noise(root / f"{part}_noises.txt") if params.clean else set()
        paths = [
            (listing, path, folder, number)
            for number, path in enumerate(_paths(listing), 1)
            if PurePosixPath(path).name not in noise
        ]
        for _, path, _, number in paths:
            refuse_outside(folder, path, listing, f"entry {number}")
        files += paths
        counts.append(len(paths))
    people = [PurePosixPath(path).parent.name for _, path, _, _ in files[: counts[0]]]
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

    return Source(Records(len(files), lambda: map(record, files)), {"distractors": table})


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


def _noise(listing: Path) -> set[str]:
    """File names of a list of noise: what follows a line's last tab; `#` starts a comment."""
    text = _text(listing, NOISE_ORIGIN)
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    return {PurePosixPath(line.rpartition("\t")[2]).name for line in lines if line}


def _text(listing: Path, origin: str) -> str:
    try:
        return listing.read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(listing, f"cannot read the list ({fault})", origin) from None
