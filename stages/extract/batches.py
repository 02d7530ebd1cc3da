"""The images of a set, decoded once for every model that is fed them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from tqdm import tqdm

from stages.datasets._resize import down_up, resize
from stages.datasets._store import ImageStore
from stages.extract.params import Params

FULL = 112  # side of the trunk's images, pixels


class Batch:
    """Some images of a set, and the copies of them that models are fed.

    Args:
        images: as aligned, uint8 [height, width, 3] each, RGB.
        resampler: name in stages/datasets/_resize.py.
    """

    def __init__(self, images: list[np.ndarray], resampler: str) -> None:
        self.images = images
        self.resampler = resampler

    @cached_property
    def _full(self) -> list[np.ndarray]:
        return [resize(image, FULL, self.resampler) for image in self.images]

    def full(self) -> np.ndarray:
        """The images at 112 px, uint8 [B, 112, 112, 3]."""
        return np.stack(self._full)

    def small(self, side: int) -> np.ndarray:
        """The images at `side` px, uint8 [B, side, side, 3]."""
        return np.stack([resize(image, side, self.resampler) for image in self.images])

    def upsampled(self, side: int) -> np.ndarray:
        """The images at `side` px brought back to 112 px, uint8 [B, 112, 112, 3]."""
        return np.stack([down_up(image, side, self.resampler) for image in self._full])


def batches(store: ImageStore, image_set: str, settings: Params) -> Iterator[Batch]:
    """All images of a set in order, with a progress bar on a terminal.

    Raise InputError for an image that cannot be decoded.
    """
    starts = range(0, len(store), settings.batch)
    for start in tqdm(starts, desc=image_set, unit="batch", file=sys.stderr, disable=None):
        rows = range(start, min(start + settings.batch, len(store)))
        yield Batch([store.image(row) for row in rows], settings.resampler)
