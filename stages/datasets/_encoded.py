"""Encoded images: what a header says, and the pixels. JPEG and PNG."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"IEND\xaeB`\x82"

DAMAGE = ("Corrupt JPEG data", "Premature end")  # how libjpeg's warnings of lost pixels begin
STRAY = "extraneous bytes"  # the one of these that costs no pixel


class Kind(NamedTuple):
    """Suffix of a file (jpg, png), width and height in pixels."""

    suffix: str
    width: int
    height: int


def inspect(payload: bytes | memoryview) -> Kind:
    """Kind and size of an encoded image, from its header; the pixels are not decoded.

    Raises:
        ValueError: it is neither JPEG nor PNG, or it is cut short.
    """
    data = bytes(payload)
    if data.startswith(PNG_START) and data.rfind(PNG_END) > 0:
        width, height = np.frombuffer(data, ">u4", 2, len(PNG_START)).tolist()
        return Kind("png", width, height)
    if not data.startswith(JPEG_START):
        what = "a PNG that is cut short" if data.startswith(PNG_START) else _beginning(data)
        raise ValueError(f"{what}, not a JPEG or PNG image")
    if data.rfind(JPEG_END) < 0:
        raise ValueError(f"a JPEG that is cut short at {len(data)} bytes")
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # stray bytes between segments; OpenCV skips them
        height, width = decode(data).shape[:2]
    return Kind("jpg", width, height)


def _beginning(data: bytes) -> str:
    return f"{len(data)} bytes that begin with {data[:4].hex(' ')}" if data else "no bytes"


def decode(payload: bytes | memoryview, out: np.ndarray | None = None) -> np.ndarray:
    """Pixels of an encoded image, uint8 [height, width, 3], RGB; grey images get three equal ones.

    Orientation marks of cameras are ignored: width and height are those of the header.

    Args:
        out: where to write the pixels, of exactly their shape and contiguous; None for a new array.

    Raises:
        ValueError: it cannot be decoded, or is not of the shape of `out`.
    """
    import simplejpeg

    try:
        image = simplejpeg.decode_jpeg(payload, "RGB", buffer=out)
    except ValueError as fault:
        if str(fault).startswith(DAMAGE) and STRAY not in str(fault):
            raise ValueError(f"damaged: {fault}") from None
        image = _decode_any(payload)
    if out is None:
        return image
    if image.shape != out.shape:
        raise ValueError(f"{image.shape[1]}x{image.shape[0]} pixels, not as its header says")
    if not np.shares_memory(image, out):
        out[:] = image
    return out


def _decode_any(payload: bytes | memoryview) -> np.ndarray:
    """What the decoder above refuses for no damage: PNG, and JPEG with stray bytes."""
    import cv2

    data = np.frombuffer(payload, np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("it cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
