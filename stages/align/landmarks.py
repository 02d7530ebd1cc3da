"""Where the landmarks of an image set come from, and why an image has none."""

from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from stages.align.params import Params
from stages.core.detector import Detector
from stages.datasets._encoded import quarters
from stages.datasets._store import ImageStore

NO_FACE = "no_face"  # the detector finds none
NO_LANDMARKS = "no_landmarks"  # the data set gives none
COINCIDE = "landmarks_coincide"  # all are one point
REASONS = (NO_FACE, NO_LANDMARKS, COINCIDE)


def given(store: ImageStore) -> np.ndarray:
    """Landmarks of the index, float32 [n, 10]; NaN where the data set has none."""
    return store.index.landmarks


def detected(store: ImageStore, settings: Params) -> np.ndarray:
    """Landmarks of the largest face of each image, float32 [n, 10]; NaN where there is no face.

    Images of equal bytes are looked at once, and upright, as their cameras say; the landmarks are
    those of the image as it is stored.
    """
    detector = Detector(settings.short_side, settings.border, settings.smallest_face)
    _, rows, which = np.unique(store.index.sha1, return_index=True, return_inverse=True)
    found = np.full((len(rows), 10), np.nan, np.float32)
    for place in tqdm(np.argsort(rows), "faces", unit="image", file=sys.stderr, disable=None):
        turns = quarters(store.encoded(rows[place]))
        image = np.rot90(store.image(rows[place]), turns)
        face = detector.largest(np.ascontiguousarray(image))
        if face is not None:
            found[place] = _turned_back(face.landmarks, turns, image.shape).ravel()
    return found[which]


def _turned_back(points: np.ndarray, turns: int, shape: tuple[int, ...]) -> np.ndarray:
    """Points x, y [n, 2] of an image of `shape` before `turns` quarters to the left."""
    height, width = shape[:2]
    for _ in range(turns):  # a quarter to the right takes (x, y) to (height - 1 - y, x)
        points = np.stack([height - 1 - points[:, 1], points[:, 0]], axis=1)
        height, width = width, height
    return points


def reason(landmarks: np.ndarray, way: str) -> str:
    """Why an image with these landmarks [10] has no crop; `way` as in `datasets`."""
    if np.isfinite(landmarks).all():
        return COINCIDE
    return NO_FACE if way == "detect" else NO_LANDMARKS
