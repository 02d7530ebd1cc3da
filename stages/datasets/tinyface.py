"""TinyFace: probes and a gallery of native low-resolution faces, and distractors.

In Testing_Set/: the folders Gallery_Match/, Gallery_Distractor/ and Probe/ with the images;
gallery_match_img_ID_pairs.mat (cell array gallery_set of file names, gallery_ids) and
probe_img_ID_pairs.mat (probe_set, probe_ids). Distractors are whatever lies in their folder.
Aligned copies, such as AdaFace's, have the three folders elsewhere.
Source: qmul-tinyface.github.io.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.index import UNKNOWN_LABEL
from stages.core.params import Section
from stages.datasets._files import read_image
from stages.datasets._identities import File, found_images, listed_images
from stages.datasets._source import Record, Records, Source

TEST_SET = "Testing_Set"
ORIGIN = "put TinyFace there, with Testing_Set/: qmul-tinyface.github.io"
GIVES = ("lowres",)  # lists, and what is known of its images
NO_SUBJECT = -1


class Params(Section):
    """Where the images are.

    Attributes:
        images: folder, relative to the root, of Gallery_Match/, Gallery_Distractor/ and Probe/.
    """

    images: str = "Testing_Set"


def read(root: Path, params: Params, reader: str = "native") -> Source:
    """Gallery and probes in the order of their lists, then distractors by name.

    Table `lowres`: record, role (gallery, probe, distractor), subject (-1 for distractors).

    Args:
        reader: of no consequence here.

    Raises:
        InputError: a folder or list is missing, a list is malformed, or a name leads out of its
            folder; while iterating, an image is missing.
    """
    images, lists = root / params.images, root / TEST_SET
    gallery, gallery_ids = listed_images(
        lists / "gallery_match_img_ID_pairs.mat", "gallery", images / "Gallery_Match", ORIGIN
    )
    probes, probe_ids = listed_images(
        lists / "probe_img_ID_pairs.mat", "probe", images / "Probe", ORIGIN
    )
    distractors = found_images(images / "Gallery_Distractor", ORIGIN)
    files = [*gallery, *probes, *distractors]
    counts = [len(gallery), len(probes), len(distractors)]
    lowres = {
        "record": np.arange(len(files)),
        "role": np.repeat(["gallery", "probe", "distractor"], counts),
        "subject": np.concatenate([gallery_ids, probe_ids, np.full(counts[2], NO_SUBJECT)]),
    }

    def record(file: File) -> Record:
        image = read_image(images / file.name, file.listing, file.record)
        return Record(file.name, UNKNOWN_LABEL, image)

    records = Records(len(files), lambda: map(record, files), lambda: (file.name for file in files))
    return Source(records, {"lowres": lowres})
