"""People as an InsightFace training pack: train.rec, train.idx, property."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.datasets._training_pack import write_training_pack
from stages.fetch.encode import jpeg
from stages.fetch.params import Params


def write_training(folder: Path, people: dict[int, list[np.ndarray]], settings: Params) -> None:
    """Each person is a class; the photographs are not aligned, whatever `property` says."""
    photographs = [
        (label, image) for label, images in enumerate(people.values()) for image in images
    ]
    labels = [label for label, _ in photographs]
    write_training_pack(folder, labels, (jpeg(image, settings.quality) for _, image in photographs))
