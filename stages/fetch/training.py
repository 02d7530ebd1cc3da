"""People as an InsightFace training pack: train.rec, train.idx, property."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.datasets.recordio import Writer, pack
from stages.fetch.encode import jpeg
from stages.fetch.params import Params

SIDE = 112  # `property` tells the size of aligned faces, though these are photographs


def write_training(folder: Path, people: dict[int, list[np.ndarray]], settings: Params) -> None:
    """Images are records 1..n, person by person; records n+1.. tell each person's range.

    Record 0 has labels [n + 1, n + 1 + people], as InsightFace's packs have it.
    """
    folder.mkdir(parents=True)
    images = sum(map(len, people.values()))
    with Writer(folder / "train.rec", folder / "train.idx") as writer:
        writer.write(0, pack(2, [images + 1, images + 1 + len(people)], 0, 0, b""))
        key, ranges = 1, []
        for label, photographs in enumerate(people.values()):
            ranges.append((key, key + len(photographs)))
            for image in photographs:
                writer.write(key, pack(0, label, key, 0, jpeg(image, settings.quality)))
                key += 1
        for first_and_last in ranges:
            writer.write(key, pack(2, list(first_and_last), key, 0, b""))
            key += 1
    (folder / "property").write_text(f"{len(people)},{SIDE},{SIDE}\n")
