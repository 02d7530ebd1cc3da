"""Small images for the tests of the readers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

ABSENT = find_spec("mxnet") is None  # there is none for numpy 2
READERS = [  # of RecordIO packs
    "native",
    pytest.param("mxnet", marks=pytest.mark.skipif(ABSENT, reason="mxnet is not installed")),
]


def pixels(number: int, width: int = 16, height: int = 12) -> np.ndarray:
    """Smooth colours that differ by `number`, uint8 RGB."""
    y, x = np.mgrid[:height, :width]
    planes = [7 * x + 11 * number, 5 * y + 29 * number, 3 * (x + y) + 53 * number]
    return np.stack(planes, axis=2).astype(np.uint8)


def jpeg(number: int, width: int = 16, height: int = 12) -> bytes:
    return encoded(".jpg", number, width, height)


def png(number: int, width: int = 16, height: int = 12) -> bytes:
    return encoded(".png", number, width, height)


def encoded(suffix: str, number: int, width: int, height: int) -> bytes:
    return cv2.imencode(suffix, pixels(number, width, height)[:, :, ::-1])[1].tobytes()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
