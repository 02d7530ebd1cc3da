"""QMUL-SurvFace, open-set identification: gallery, mated and unmated probes at native sizes.

In Face_Identification_Test_Set/: gallery/, mated_probe/ and unmated_probe/ with the images;
gallery_img_ID_pairs.mat (cell array gallery_set of file names, gallery_ids) and
mated_probe_img_ID_pairs.mat (mated_probe_set, mated_probe_ids). Unmated probes are whatever lies in
their folder. Source: qmul-survface.github.io.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._files import read_image
from stages.datasets._identities import File, found_images, listed_images
from stages.datasets._source import Record, Records, Source

TEST_SET = "Face_Identification_Test_Set"
ORIGIN = "put QMUL-SurvFace there, with Face_Identification_Test_Set/: qmul-survface.github.io"
GIVES = ("surveillance",)  # lists, and what is known of its images
NO_SUBJECT = -1


class Params(Section):
    """The layout is fixed: no options."""


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """Gallery and mated probes in the order of their lists, then unmated probes by name.

    Table `surveillance`: record, role (gallery, mated, unmated), subject (-1 for unmated).

    Args:
        reader: of no consequence here.

    Raises:
        InputError: a folder or list is missing, a list is malformed, or a name leads out of its
            folder; while iterating, an image is missing.
    """
    tests = root / TEST_SET
    (gallery, gallery_ids), (mated, mated_ids) = (
        listed_images(tests / f"{role}_img_ID_pairs.mat", role, tests / role, ORIGIN)
        for role in ("gallery", "mated_probe")
    )
    unmated = found_images(tests / "unmated_probe", ORIGIN)
    files = [*gallery, *mated, *unmated]
    counts = [len(gallery), len(mated), len(unmated)]
    surveillance = {
        "record": np.arange(len(files)),
        "role": np.repeat(["gallery", "mated", "unmated"], counts),
        "subject": np.concatenate([gallery_ids, mated_ids, np.full(len(unmated), NO_SUBJECT)]),
    }

    def record(file: File) -> Record:
        image = read_image(tests / file.name, file.listing, file.record)
        return Record(file.name, UNKNOWN_LABEL, image)

    records = Records(len(files), lambda: map(record, files), lambda: (file.name for file in files))
    return Source(records, {"surveillance": surveillance})
