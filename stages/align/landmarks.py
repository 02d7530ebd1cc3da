"""Where the landmarks of an image set come from, and why an image has none."""

from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from stages.align.params import Params
from stages.core.detector import Detector
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

    Images of equal bytes are looked at once.
    """
    detector = Detector(settings.short_side, settings.border, settings.smallest_face)
    _, rows, which = np.unique(store.index.sha1, return_index=True, return_inverse=True)
    found = np.full((len(rows), 10), np.nan, np.float32)
    for place in tqdm(np.argsort(rows), "faces", unit="image", file=sys.stderr, disable=None):
        face = detector.largest(store.image(rows[place]))
        if face is not None:
            found[place] = face.landmarks.ravel()
    return found[which]


def reason(landmarks: np.ndarray, way: str) -> str:
    """Why an image with these landmarks [10] has no crop; `way` as in `datasets`."""
    if np.isfinite(landmarks).all():
        return COINCIDE
    return NO_FACE if way == "detect" else NO_LANDMARKS
