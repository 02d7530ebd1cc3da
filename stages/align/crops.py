"""Crops of an image set, encoded without loss."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from stages.core.geometry import similarity, warp
from stages.datasets._store import ImageStore

BLOCK = 4096  # images whose transforms are estimated at once


def crops(
    store: ImageStore, landmarks: np.ndarray, reasons: np.ndarray, outside: str
) -> Iterator[bytes | None]:
    """A PNG of 112x112 for each image, in order; None where its landmarks are not usable.

    Args:
        landmarks: [n, 10] in pixels of the images.
        reasons: why they are not usable; empty texts where they are, [n].
        outside: black or edge, what a crop shows beyond the image.
    """
    for start in range(0, len(store), BLOCK):
        block = landmarks[start : start + BLOCK].reshape(-1, 5, 2)
        for row, matrix in enumerate(similarity(block), start):
            yield (
                _png(warp(store.image(row), matrix, outside=outside)) if not reasons[row] else None
            )


def copies(store: ImageStore) -> Iterator[memoryview]:
    """The bytes of each image, in order."""
    return map(store.encoded, range(len(store)))


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
