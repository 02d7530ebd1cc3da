"""Labelled images of an aligned set, by batches of rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.datasets._store import ImageStore


class TrainingImages:
    """Images and classes of a training set.

    Attributes:
        classes: number of classes C; labels are 0..C-1.
        digest: SHA-256 of the index, hexadecimal: it names the exact images.
    """

    def __init__(self, folder: Path) -> None:
        self.index_file = folder / "index.parquet"
        self.store = ImageStore(folder)
        self.labels = np.asarray(self.store.index.label, np.int64)
        if len(self.labels) == 0:
            raise InputError(folder, "holds no image", "see its left_out.csv")
        if self.labels.min() < 0:
            row = int(self.labels.argmin())
            raise InputError(
                self.index_file,
                "has no class",
                "choose a labelled set as `dataset` in params.yaml",
                row,
            )
        self.classes = int(self.labels.max()) + 1
        self.digest = hashlib.sha256(self.index_file.read_bytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 RGB [B, S, S, 3] and classes [B] of `rows`."""
        return self.store.images(rows), self.labels[rows]
