"""Where the landmarks of an image set come from, and why an image has none."""

from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from stages.align.params import Params
from stages.core.detector import Detector
from stages.core.index import Index
from stages.datasets._encoded import quarters
from stages.datasets._store import ImageStore

NO_FACE = "no_face"  # the detector finds none
NO_LANDMARKS = "no_landmarks"  # the data set gives none
COINCIDE = "landmarks_coincide"  # all are one point
MISSING = "landmark_missing"  # one or more are where detectors put what they did not find
OUTSIDE = "landmarks_outside"  # all five lie beyond the image
REASONS = (NO_FACE, NO_LANDMARKS, COINCIDE, MISSING, OUTSIDE)
NOT_FOUND = (0.0, -1.0)  # both coordinates of a point that a detector did not find


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


def unusable(landmarks: np.ndarray, index: Index, way: str) -> np.ndarray:
    """Why an image has no crop: one of REASONS, or an empty text where its landmarks are usable.

    Args:
        landmarks: [n, 10].
        index: of the images.
        way: as in `datasets`. What the detector finds it has seen in the image.

    Returns:
        objects [n]
    """
    reasons = np.full(len(landmarks), "", object)
    points = landmarks.reshape(-1, 5, 2)
    if way != "detect":
        sides = np.stack([index.width, index.height], axis=1)[:, None]
        reasons[((points < 0) | (points > sides)).any(2).all(1)] = OUTSIDE
        for value in NOT_FOUND:
            reasons[(points == value).all(2).any(1)] = MISSING
    reasons[(points == points[:, :1]).all((1, 2))] = COINCIDE
    reasons[~np.isfinite(points).all((1, 2))] = NO_FACE if way == "detect" else NO_LANDMARKS
    return reasons
