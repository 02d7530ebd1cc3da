"""Photographs as JPEG."""

from __future__ import annotations

import numpy as np


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encoded grey uint8 [h, w], stored as colour, as the vendors' packs are."""
    import cv2

    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    done, encoded = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a photograph")
    return encoded.tobytes()
