"""AdaFace's crop and low resolution, given what was drawn."""

from __future__ import annotations

import cv2
import numpy as np

from stages.datasets._distort import INTERPOLATIONS, crop, rescale
from tests.goldens import golden

NAMES = {getattr(cv2, name): name for name in INTERPOLATIONS}
ACROSS_VERSIONS = 1  # grey levels between OpenCV 4 and 5, in a pixel of a hundred thousand


@golden("adaface/augment*.npz")
def test_distortions_given_what_was_drawn(file) -> None:
    stored = np.load(file)
    image = stored["img"]
    for key in (key for key in stored.files if key.startswith("lr_ratio_")):
        number = key.removeprefix("lr_ratio_")
        down, up = (NAMES[int(code)] for code in stored[f"lr_interp_{number}"])
        found = rescale(image, float(stored[key]), down, up).astype(int)
        assert np.abs(found - stored[f"lr_{number}"]).max() <= ACROSS_VERSIONS
        assert (found != stored[f"lr_{number}"]).mean() < 1e-3
    if "crop_out" in stored.files:
        top, left, height, width = (int(value) for value in stored["crop_ijhw"])
        found = crop(image, top, left, height, width)
        np.testing.assert_array_equal(found, stored["crop_out"])
        share = min(height, width) / image.shape[0]
        np.testing.assert_allclose(share, stored["crop_ratio"])
