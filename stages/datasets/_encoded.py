"""Encoded images: what a header says, and the pixels. JPEG and PNG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stages.core.bounded import room

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_START, PNG_END = PNG_SIGNATURE + b"\0\0\0\rIHDR", b"IEND\xaeB`\x82"

CHANNELS = 3
COPIES_OF_PNG = 2  # of the pixels, in the memory of its decoder
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG: begin of a picture,
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}  # of one in several passes,
SCAN = 0xDA  # of its coefficients,
ALONE = {0x00, 0x01, *range(0xD0, 0xD9), 0xFF}  # and what has no length
SHORTEST = 10  # bytes of a frame's header up to its parts
APP1, EXIF, ORIENTATION = 0xE1, b"Exif\0\0", 0x0112  # where a camera says how it was held
LONG = 4  # kind of a number of four bytes
BYTE_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}
QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}  # turns by 90 degrees to the left, to be upright

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
        ValueError: it is neither JPEG nor PNG, it is cut short, or a few bytes claim to be so many
            pixels that decoding them takes more memory than reading a file may take.
    """
    data = bytes(payload)
    if data.startswith(PNG_START) and data.rfind(PNG_END) > 0:
        width, height = np.frombuffer(data, ">u4", 2, len(PNG_START)).tolist()
        kind = Kind("png", width, height)
        _refuse_bomb(kind, data, COPIES_OF_PNG)
        _require_chunks(data)
        return kind
    if not data.startswith(JPEG_START):
        what = "a PNG that is cut short" if data.startswith(PNG_START) else _beginning(data)
        raise ValueError(f"{what}, not a JPEG or PNG image")
    if data.rfind(JPEG_END) < 0:
        raise ValueError(f"a JPEG that is cut short at {len(data)} bytes")
    import simplejpeg

    kind, copies = _frame(data)
    _refuse_bomb(kind, data, copies)
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # stray bytes between segments; OpenCV skips them
        height, width = decode(data).shape[:2]
    return Kind("jpg", width, height)


def _require_chunks(data: bytes) -> None:
    """Raise ValueError if a chunk of a PNG is longer than the file: its decoder would make room."""
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += length + 12  # with length, kind and checksum
        if at > len(data):
            raise ValueError(f"a PNG with a chunk of {length} bytes past its end")


def _frame(data: bytes) -> tuple[Kind, int]:
    """Size of a JPEG, and how much it takes to decode, in copies of its pixels.

    What is sent in several scans is kept as coefficients of 2 bytes until the last.
    """
    kind, parts = None, 0
    for at, _, marker in _segments(data):
        if marker in FRAMES:
            height, width = np.frombuffer(data, ">u2", 2, at + 5).tolist()
            kind, parts = Kind("jpg", width, height), data[at + 9]
            progressive = marker in PROGRESSIVE
        elif marker == SCAN and kind:
            if data.rfind(JPEG_END) < at:  # the one that was found ends a thumbnail
                break
            return kind, 3 if progressive or data[at + 4] < parts else 1
    raise ValueError(f"a JPEG that is cut short at {len(data)} bytes, or without a picture")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each segment of a JPEG begins and ends, and its marker; what has no length is passed
    over."""
    at = data.find(b"\xff", 2)
    while 0 <= at < len(data) - SHORTEST:
        marker = data[at + 1]
        if marker in ALONE:
            at = data.find(b"\xff", at + 1)
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield at, end, marker
        at = data.find(b"\xff", end)


def quarters(payload: bytes | memoryview) -> int:
    """Turns by 90 degrees to the left that put an image upright, as its EXIF entry of JPEG says.

    Of the entries that mirror the image as well (Exif 2.32, tag 0x0112: 2, 4, 5 and 7) only the
    turn counts: a mirrored face is a face. 0 where nothing is said, or nothing that can be read.
    """
    data = bytes(payload)
    for at, end, marker in _segments(data) if data.startswith(JPEG_START) else ():
        if marker == SCAN:
            break
        if marker == APP1 and data.startswith(EXIF, at + 4):
            return QUARTERS.get(_orientation(data[at + 4 + len(EXIF) : end]), 0)
    return 0


def _orientation(tiff: bytes) -> int:
    """The entry in the first directory of a TIFF header; 0 if there is none."""
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return 0

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    begin = number(4, 4)
    for at in range(begin + 2, begin + 2 + 12 * number(begin, 2), 12):
        if number(at, 2) == ORIENTATION:
            return number(at + 8, 4 if number(at + 2, 2) == LONG else 2)
    return 0


def _refuse_bomb(kind: Kind, data: bytes, copies: int) -> None:
    """Raise ValueError if decoding takes more memory than a file of its size may take."""
    if CHANNELS * kind.width * kind.height * copies > room(len(data)):
        size = f"{kind.width}x{kind.height} pixels in {len(data)} bytes"
        raise ValueError(f"{size}: more than is read; scale it down")


def _beginning(data: bytes) -> str:
    return f"{len(data)} bytes that begin with {data[:4].hex(' ')}" if data else "no bytes"


def decode(payload: bytes | memoryview, out: np.ndarray | None = None) -> np.ndarray:
    """Pixels of an encoded image, uint8 [height, width, 3], RGB; grey images get three equal ones.

    Width and height are those of the header, however the camera was held (`quarters`).

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
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("it cannot be decoded")
    return image
