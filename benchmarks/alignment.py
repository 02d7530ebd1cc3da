"""Five-point alignment against scikit-image's SimilarityTransform, which the published scripts use.

`python -m benchmarks alignment` prints the rows.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.transform import SimilarityTransform

from benchmarks._measure import Row, alternate
from stages.core.geometry import CROP, TEMPLATE, similarity, warp

FACES = 2_000
SIDE = 160  # pixels of the photographs
JITTER = 3.0  # pixels, standard deviation of a landmark
ROUNDS = 9


def rows() -> list[Row]:
    cv2.setNumThreads(1)  # of the warp, on both sides
    draw = np.random.default_rng(0)
    photographs = draw.integers(0, 256, (FACES, SIDE, SIDE, 3), np.uint8)
    faces = (TEMPLATE + 20 + JITTER * draw.standard_normal((FACES, 5, 2))).astype(np.float32)
    matrices = similarity(faces)

    ours, theirs = alternate(lambda: similarity(faces), lambda: theirs_all(faces), rounds=ROUNDS)
    note = f"{FACES} faces, batched closed form; theirs: skimage, one by one"
    estimate = Row("similarity of five points", ours, theirs, 190, 190, None, note)

    ours, theirs, limit = alternate(
        lambda: crops(photographs, similarity(faces)),
        lambda: crops(photographs, theirs_all(faces)),
        lambda: crops(photographs, matrices),
        rounds=ROUNDS,
    )
    size = f"{FACES} images of {SIDE} px to {CROP} px, one thread"
    return [
        estimate,
        Row("estimate and warp", ours, theirs, 1.8, 1.86, limit / ours, f"{size}; theirs: skimage"),
        Row("estimate and warp, of warp alone", ours, limit, 0.95, 0.98, None, size),
    ]


def crops(photographs: np.ndarray, matrices: np.ndarray) -> list[np.ndarray]:
    return [warp(image, matrix) for image, matrix in zip(photographs, matrices, strict=True)]


def theirs_all(faces: np.ndarray) -> np.ndarray:
    """As the published scripts do: one transform object a face."""
    target = TEMPLATE.astype(np.float32)
    fits = (SimilarityTransform.from_estimate(face, target) for face in faces)
    return np.stack([fit.params[:2] for fit in fits])
