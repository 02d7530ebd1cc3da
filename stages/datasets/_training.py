"""Labelled images of an aligned set, by batches of rows, ready to be normalised."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.schedule import Augmentation
from stages.datasets._augment import degrade
from stages.datasets._resize import resize
from stages.datasets._store import ImageStore

SIDE = 112  # pixels; images of native size are resized to it (BTNet on SurvFace)


class TrainingImages:
    """Images and classes of a training set.

    Args:
        folder: an aligned image set.
        threads: that decode and degrade the images of a batch; they change no byte. Decoders and
            resamplers work without Python's lock.

    Attributes:
        classes: number of classes C; labels are 0..C-1.
        digest: SHA-256 of the index, hexadecimal: it names the exact images.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
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
        if empty := self.classes - len(np.unique(self.labels)):
            problem = f"{empty} of {self.classes} classes have no image; they are trained as well"
            print(f"{self.index_file}: {problem}", file=sys.stderr)
        self.digest = sha256(self.index_file)
        index = self.store.index
        self._of_native_size = (index.height != SIDE) | (index.width != SIDE)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self,
        rows: np.ndarray,
        uniform: np.ndarray | None = None,
        how: Augmentation | None = None,
        resampler: str = "pil_bilinear",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images and classes of `rows`.

        Args:
            rows: [B], of the index.
            uniform: [B, DRAWS], the samples' random numbers; with `how`.
            how: what may happen to the grey levels (`degrade`); nothing by default.
            resampler: of low-resolution copies, and of images that are not of 112 x 112 pixels.

        Returns:
            uint8 RGB [B, 112, 112, 3] and int64 [B].
        """
        images = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)

        def fill(part: slice) -> None:
            for row, image in zip(rows[part], images[part], strict=True):
                self._read(row, image, resampler)
            if how is not None:
                degrade(images[part], uniform[part], how, resampler)

        size = -(-len(rows) // self._threads)
        parts = [slice(start, start + size) for start in range(0, len(rows), size)]
        list(self._pool.map(fill, parts))
        return images, self.labels[rows]

    def _read(self, row: int, out: np.ndarray, resampler: str) -> None:
        if self._of_native_size[row]:
            out[:] = resize(self.store.image(row), SIDE, resampler)
        else:
            self.store.image(row, out)
