"""Headers and pixels of encoded images."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.datasets._encoded import decode, inspect, quarters
from tests.datasets.samples import encoded, jpeg, pixels, png


def pil(image: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    mode = options.pop("mode", None)
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, **options)
    return buffer.getvalue()


STRAY = jpeg(0)[:20] + b"\0\0\0" + jpeg(0)[20:]
VARIANTS = {
    "jpeg": jpeg(0),
    "png": png(0),
    "progressive": pil(pixels(0), format="JPEG", progressive=True),
    "4:4:4": pil(pixels(0), format="JPEG", subsampling=0),
    "grey": pil(pixels(0), format="JPEG", mode="L"),
    "grey png": pil(pixels(0), format="PNG", mode="L"),
    "palette png": pil(pixels(0), format="PNG", mode="P"),
    "transparent png": pil(pixels(0), format="PNG", mode="RGBA"),
    "stray bytes": STRAY,
    "bytes after the end": jpeg(0) + b"appended",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_header_and_pixels(name: str) -> None:
    payload = VARIANTS[name]
    kind = inspect(payload)
    assert kind == ("png" if "png" in name else "jpg", 16, 12)
    expected = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(decode(payload), expected)
    np.testing.assert_array_equal(decode(memoryview(payload)), expected)
    out = np.zeros((2, 12, 16, 3), np.uint8)
    assert np.shares_memory(decode(payload, out[1]), out)
    np.testing.assert_array_equal(out[1], expected)
    assert not out[0].any()


def test_png_is_exact() -> None:
    np.testing.assert_array_equal(decode(png(3)), pixels(3))


def held(orientation: int, endian: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    return pil(pixels(0), format="JPEG", exif=exif, subsampling=0, quality=95)


def test_orientation_is_that_of_the_header() -> None:
    payload = held(6)  # to be turned by 90 degrees
    assert inspect(payload) == ("jpg", 16, 12)
    assert decode(payload).shape == (12, 16, 3)
    stray = payload[:2] + b"\xff" + payload[2:]  # a fill byte
    assert decode(stray).shape == (12, 16, 3)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_quarters_put_a_photograph_upright(orientation: int, endian: str) -> None:
    """As Pillow does, but for the mirroring."""
    payload = held(orientation, endian)
    assert (b"MM\0*" if endian == ">" else b"II*\0") in payload
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(payload))))
    turned = np.rot90(decode(payload), quarters(payload))
    mirrored = orientation in (2, 4, 5, 7)
    np.testing.assert_array_equal(turned[:, ::-1] if mirrored else turned, upright)
    stray = payload[:2] + b"\xff" + payload[2:]
    assert quarters(memoryview(stray)) == quarters(payload)


def test_quarters_of_what_says_nothing_that_can_be_read() -> None:
    payload = held(6)
    assert quarters(payload) == 3
    for other in [*VARIANTS.values(), b"", b"\xff\xd8\xff", held(9), held(0)]:
        assert quarters(other) == 0
    entry = payload.index(b"Exif\0\0")
    assert quarters(payload.replace(b"Exif\0\0", b"Exif\0\1")) == 0
    for at in range(entry, entry + 60):  # whatever is damaged, nothing is raised
        assert quarters(payload[:at] + b"\xff" + payload[at + 1 :]) in (0, 1, 2, 3)
        assert quarters(payload[:at]) in (0, 3)


def test_how_a_camera_was_held_turns_no_pixels_of_any_decoder() -> None:
    """OpenCV, which reads what has stray bytes, would turn them."""
    payload = held(6)
    at = payload.index(b"\xff\xdb")
    stray = payload[:at] + b"\0\0\0" + payload[at:]
    assert quarters(stray) == 3
    np.testing.assert_array_equal(decode(stray), decode(payload))
    upright = Image.open(io.BytesIO(payload))
    np.testing.assert_array_equal(decode(stray), np.asarray(upright))


def test_an_orientation_after_the_picture_says_nothing() -> None:
    """Another image's, which a telephone appends, or what is left of a film."""
    plain, turned = jpeg(0), held(6)
    assert quarters(plain + turned) == 0
    assert quarters(plain[:-2] + turned[2:]) == 0


@pytest.mark.parametrize("endian", ["little", "big"])
def test_an_orientation_of_four_bytes(endian: str) -> None:
    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, endian)

    entry = number(0x0112, 2) + number(4, 2) + number(1, 4) + number(6, 4)
    tiff = (b"II*\0" if endian == "little" else b"MM\0*") + number(8, 4) + number(1, 2) + entry
    inside = b"Exif\0\0" + tiff
    header = b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside
    assert quarters(jpeg(0)[:2] + header + jpeg(0)[2:]) == 3


def test_the_end_of_a_thumbnail_does_not_end_a_photograph() -> None:
    """A camera's JPEG has a small one in its header, whole, wherever the file is cut."""
    inside = b"Exif\0\0" + jpeg(1, 8, 8)
    header = b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside
    whole = jpeg(0)[:2] + header + jpeg(0)[2:]
    assert inspect(whole) == ("jpg", 16, 12)
    for end in range(len(header) + 2, len(whole)):
        with pytest.raises(ValueError, match="cut short"):
            inspect(whole[:end])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"a",
        b"no image at all",
        b"BM" + bytes(60),
        b"GIF89a" + bytes(60),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\xff\xd9",
        jpeg(0)[:-2],
        jpeg(0)[:40],
        png(0)[:-9],
    ],
)
def test_what_is_no_image(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        inspect(payload)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "^no bytes, not a JPEG or PNG image$"),
        (b"no image at all", "^15 bytes that begin with 6e 6f 20 69, not a JPEG or PNG image$"),
        (png(0)[:-9], "^a PNG that is cut short, not a JPEG or PNG image$"),
        (png(0)[:-9] + b"IEND", "^a PNG that is cut short, not a JPEG or PNG image$"),
        (jpeg(0)[:-2], rf"^a JPEG that is cut short at {len(jpeg(0)) - 2} bytes$"),
        (b"\xff\xd8\xff\xd9", "^a JPEG that is cut short at 4 bytes, or without a picture$"),
    ],
)
def test_what_is_no_image_is_told_by_what_it_is(payload: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        inspect(payload)


@pytest.mark.parametrize("payload", [png(0)[:-20], b"", b"junk", jpeg(0)[:40]])
def test_what_cannot_be_decoded(payload: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode(payload)


LARGE = jpeg(0, 64, 64)
HALF = len(LARGE) // 2


@pytest.mark.parametrize("payload", [LARGE[:-40], LARGE[:HALF] + LARGE[-2:]])
def test_pixels_that_are_lost_are_not_made_up(payload: bytes) -> None:
    """OpenCV fills them with grey and says nothing but a line on stderr."""
    with pytest.raises(ValueError, match="damaged"):
        decode(payload)


def test_out_must_have_the_shape_of_the_image() -> None:
    for shape in ((16, 12, 3), (20, 20, 3), (4, 4, 3)):
        with pytest.raises(ValueError, match="16x12 pixels"):
            decode(jpeg(0), np.zeros(shape, np.uint8))


def test_other_formats_are_named_by_their_first_bytes() -> None:
    with pytest.raises(ValueError, match="42 4d"):
        inspect(encoded(".bmp", 0, 16, 12))


@pytest.mark.parametrize(
    ("width", "height", "options"),
    [(5_000, 5_000, {}), (3_600, 3_600, {"progressive": True, "subsampling": 0})],
)
def test_more_pixels_than_bytes_warrant_are_refused(width: int, height: int, options: dict) -> None:
    """16.8 million of few bytes, and a third of it where the decoder keeps coefficients."""
    grey = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(ValueError, match=f"{width}x{height} pixels.*scale it down"):
        inspect(pil(grey, format="JPEG", **options))
    assert inspect(pil(grey[:2_000], format="JPEG")) == ("jpg", width, 2_000)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("side", "copies"), [(2_300, 3), (2_400, 2), (4_000, 1), (4_200, 0)])
def test_several_scans_take_three_times_the_memory(parts: int, side: int, copies: int) -> None:
    """A frame of three parts of which a scan brings fewer; 48 MiB are so many copies of it."""
    claimed = bytearray(jpeg(0))
    size, scan = claimed.index(b"\xff\xc0") + 5, claimed.index(b"\xff\xda\0\x0c\3")
    claimed[size : size + 4] = 2 * side.to_bytes(2, "big")
    which = bytes([parts, *claimed[scan + 5 : scan + 5 + 2 * parts], 0, 63, 0])
    claimed[scan + 2 : scan + 14] = (len(which) + 2).to_bytes(2, "big") + which
    if copies >= (1 if parts == 3 else 3):
        assert inspect(bytes(claimed)) == ("jpg", side, side)
    else:
        with pytest.raises(ValueError, match=f"{side}x{side} pixels.*scale it down"):
            inspect(bytes(claimed))


def test_large_photographs_are_read() -> None:
    """24 million pixels of a camera: as many bytes as such photographs have."""
    claimed = bytearray(jpeg(0))
    at = claimed.index(b"\xff\xc0") + 5
    claimed[at : at + 4] = (4_000).to_bytes(2, "big") + (6_000).to_bytes(2, "big")
    with pytest.raises(ValueError, match="pixels"):
        inspect(bytes(claimed))
    note = b"\xff\xfe\xff\xfe" + b"x" * 0xFFFC
    assert inspect(bytes(claimed[:2]) + note * 200 + bytes(claimed[2:])) == ("jpg", 6_000, 4_000)


def test_a_chunk_longer_than_its_file_is_refused() -> None:
    """OpenCV makes room for it: gigabytes."""
    whole = png(0)
    at = whole.index(b"IDAT") - 4
    with pytest.raises(ValueError, match="chunk of 2147483647 bytes"):
        inspect(whole[:at] + b"\x7f\xff\xff\xff" + whole[at + 4 :])
