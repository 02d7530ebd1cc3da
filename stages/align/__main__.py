"""Five landmarks -> 112x112 crops; an image without landmarks is left out, and listed. Landmarks
that cannot be those of faces end the stage before it writes anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.align.crops import copies, crops
from stages.align.examine import examine_landmarks, examine_sizes
from stages.align.landmarks import detected, given, unusable
from stages.align.left_out import LeftOut, write_counts, write_list
from stages.align.params import Params
from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_folder
from stages.core.image_set import image_set as read_image_set
from stages.core.params import read_params, section
from stages.datasets._store import ImageSetWriter, ImageStore

UNPACKED, ALIGNED, METRICS = Path("data/unpack"), Path("data/align"), Path("metrics/align")


def main(image_set: str) -> None:
    """Align the entry `image_set` of `datasets`: data/unpack/<image_set> -> data/align/."""
    params = read_params()
    entry = read_image_set(image_set, params)
    way = entry.align
    settings = section("align", Params, params)
    store = ImageStore(UNPACKED / image_set)
    landmarks = detected(store, settings) if way == "detect" else given(store)
    if way == "none":
        reasons = np.full(len(store), "", object)
        measured = examine_sizes(store, Path(entry.root), image_set)
        images = copies(store)
    else:
        reasons = unusable(landmarks, store.index, way)
        root = Path(entry.root)
        measured = examine_landmarks(store, landmarks, reasons, way, root, image_set)
        images = crops(store, landmarks, reasons, entry.outside)
    left_out = []
    with atomic_folder(ALIGNED / image_set) as folder:
        with ImageSetWriter(folder, len(store), store.folder) as writer:
            for row, image in enumerate(_progress(images, image_set, len(store))):
                source, label = store.index.source[row], int(store.index.label[row])
                if image is None:
                    left_out.append(LeftOut(row, source, reasons[row]))
                else:
                    writer.add(image, source, label, landmarks[row], row)
            if len(writer) == 0:
                remedy = f"see datasets.{image_set}.align and the section align in params.yaml"
                raise InputError(store.folder, "no image could be aligned", remedy)
        write_list(folder / "left_out.csv", left_out)
    write_counts(METRICS / f"{image_set}.json", image_set, len(store), left_out, measured)


def _progress(images: Iterable, image_set: str, count: int) -> Iterable:
    return tqdm(images, image_set, count, unit="image", file=sys.stderr, disable=None)


if __name__ == "__main__":
    start(main, "image_set")
