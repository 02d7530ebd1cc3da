"""The aligned pixels themselves as features: what every model must beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.datasets._store import ImageStore
from stages.extract.features import write_features
from stages.extract.job import Job


def extract(job: Job) -> None:
    """Write `pixels`: each image in grey less its own mean, `extract.pixels` a side, as one row.

    The cosine of two rows is then the images' correlation, the strongest of the plain baselines.
    """
    import cv2

    store = ImageStore(Path("data/align") / job.image_set)
    side = job.settings.pixels
    embedding = np.empty((len(store.index), side * side), np.float32)
    for row in range(len(store.index)):
        grey = cv2.cvtColor(store.image(row), cv2.COLOR_RGB2GRAY)
        if grey.shape != (side, side):
            grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        embedding[row] = (grey - grey.mean(dtype=np.float64)).reshape(-1)
    mirrored = embedding.reshape(-1, side, side)[:, :, ::-1].reshape(len(embedding), -1)
    norm = np.linalg.norm(embedding, axis=1)
    write_features(job.output, {"embedding": embedding, "mirrored": mirrored, "norm": norm})
