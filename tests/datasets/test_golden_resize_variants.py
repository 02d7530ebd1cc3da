"""Each resampler gives the very pixels that the published code saw."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from stages.datasets._resize import down_up, resize
from tests.goldens import golden

RESAMPLER = {
    "pil_bilinear": "pil_bilinear",
    "pil_bicubic": "pil_bicubic",
    "pil_nearest": "pil_nearest",
    "cv2_linear": "opencv_linear",
    "mx_imresize": "opencv_linear",
    "torch_bilinear_noaa": "torch_bilinear",
    "torch_bilinear_aa": "torch_bilinear_antialias",
}
NAME = re.compile(
    rf"(?P<image>small_\d+_)?(?P<how>{'|'.join(RESAMPLER)})_(?P<size>\d+)(?P<up>_up\d+)?"
)
ROUNDING = 0.5001  # grey levels; the torch arrays are not rounded


def source(arrays: dict[str, np.ndarray], match: re.Match) -> np.ndarray:
    return arrays[match["image"].rstrip("_") if match["image"] else "img"]


@golden("btnet/resize_variants*.npz")
@pytest.mark.parametrize("how", RESAMPLER)
def test_resamplers(file: Path, how: str) -> None:
    arrays = dict(np.load(file))
    matches = [match for match in map(NAME.fullmatch, arrays) if match and match["how"] == how]
    for match in matches:
        change = down_up if match["up"] else resize
        ours = change(source(arrays, match), int(match["size"]), RESAMPLER[how])
        theirs = arrays[match[0]]
        if theirs.dtype == np.uint8:
            np.testing.assert_array_equal(ours, theirs)
        else:  # (x / 255 - 0.5) / 0.5, channels first
            grey = (theirs.transpose(1, 2, 0) * 0.5 + 0.5) * 255
            assert np.abs(ours - grey).max() <= ROUNDING


@golden("btnet/resize_variants*.npz")
def test_every_array_but_mxnets_own_cubic_is_checked(file: Path) -> None:
    known = re.compile(r"img|small_\d+|mx_resize_short_\d+")
    assert [a for a in np.load(file) if not known.fullmatch(a) and not NAME.fullmatch(a)] == []
