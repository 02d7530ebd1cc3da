"""The aligned pixels themselves as features: what every model must beat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.datasets._store import ImageStore
from stages.extract.features import write_batches
from stages.extract.job import Job


def extract(job: Job) -> None:
    """Write `pixels`: each image in grey less its own mean, `extract.pixels` a side, as one row.

    The cosine of two rows is then the images' correlation, the strongest of the plain baselines.
    """
    store, side = ImageStore(Path("data/align") / job.image_set), job.settings.pixels
    write_batches(job.output, job.image_set, len(store), _rows(store, side), about={"side": side})


def _rows(store: ImageStore, side: int) -> Iterator[dict[str, np.ndarray]]:
    import cv2

    for row in range(len(store)):
        grey = cv2.cvtColor(store.image(row), cv2.COLOR_RGB2GRAY)
        if grey.shape != (side, side):
            grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        centred = (grey - grey.mean(dtype=np.float64)).astype(np.float32)
        embedding, mirrored = centred.reshape(1, -1), centred[:, ::-1].reshape(1, -1)
        norm = np.linalg.norm(embedding, axis=1)
        yield {"embedding": embedding, "mirrored": mirrored, "norm": norm}
