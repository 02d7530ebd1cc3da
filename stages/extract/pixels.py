"""The aligned pixels themselves as features: what every model must beat."""

from __future__ import annotations

import numpy as np


def grey(images: list[np.ndarray], side: int) -> dict[str, np.ndarray]:
    """Each image in grey less its own mean, `side` pixels a side, as one row of `embedding`.

    The cosine of two rows is then the images' correlation, the strongest of the plain baselines.

    Args:
        images: uint8 [height, width, 3] each, RGB.
        side: `extract.pixels`.

    Returns:
        embedding, mirrored: [B, side * side]; norm: [B]. All float32.
    """
    centred = np.stack([_centred(image, side) for image in images])
    embedding = centred.reshape(len(images), -1)
    mirrored = centred[:, :, ::-1].reshape(len(images), -1)
    return {
        "embedding": embedding,
        "mirrored": mirrored,
        "norm": np.linalg.norm(embedding, axis=1),
    }


def _centred(image: np.ndarray, side: int) -> np.ndarray:
    import cv2

    plane = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if plane.shape != (side, side):
        plane = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)
    return (plane - plane.mean(dtype=np.float64)).astype(np.float32)
