"""Resamplers against their definitions, computed here pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stages.datasets._resize import RESAMPLERS, down_up, resize
from tests.datasets.samples import pixels

SMOOTH = pixels(1, 24, 24)


def naive_bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear at pixel centres (x + 1/2) * scale - 1/2, clamped at the border, no antialias."""
    height, width, channels = image.shape
    result = np.empty((size, size, channels))
    for row in range(size):
        for column in range(size):
            y = np.clip((row + 0.5) * height / size - 0.5, 0, height - 1)
            x = np.clip((column + 0.5) * width / size - 0.5, 0, width - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            b, a = y - top, x - left
            upper = (1 - a) * image[top, left] + a * image[top, right]
            lower = (1 - a) * image[bottom, left] + a * image[bottom, right]
            result[row, column] = (1 - b) * upper + b * lower
    return result


def naive_triangle(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear that widens with the scale when shrinking: a triangle two output pixels wide."""

    def weights(length: int) -> np.ndarray:
        scale = max(length / size, 1)
        centre = (np.arange(size)[:, None] + 0.5) * length / size
        distance = (np.arange(length) + 0.5 - centre) / scale
        triangle = np.clip(1 - np.abs(distance), 0, None)
        return triangle / triangle.sum(axis=1, keepdims=True)

    rows, columns = weights(image.shape[0]), weights(image.shape[1])
    return np.einsum("yh,xw,hwc->yxc", rows, columns, image.astype(float))


@pytest.mark.parametrize("size", [5, 12, 24, 40])
@pytest.mark.parametrize(
    ("resampler", "naive", "tolerance"),
    [
        ("opencv_linear", naive_bilinear, 1.01),  # fixed point
        ("torch_bilinear", naive_bilinear, 0.51),
        ("torch_bilinear_antialias", naive_triangle, 0.51),
        ("pil_bilinear", naive_triangle, 1.01),  # rounds between the two passes
    ],
)
def test_bilinear(resampler: str, naive, size: int, tolerance: float) -> None:
    image = np.random.default_rng(size).integers(0, 256, (24, 30, 3)).astype(np.uint8)
    assert np.abs(resize(image, size, resampler) - naive(image, size)).max() <= tolerance


@pytest.mark.parametrize("size", [7, 40])
@pytest.mark.parametrize(
    ("resampler", "kind"),
    [
        ("pil_nearest", Image.Resampling.NEAREST),
        ("pil_bilinear", Image.Resampling.BILINEAR),
        ("pil_bicubic", Image.Resampling.BICUBIC),
    ],
)
def test_pillows_are_pillows(resampler: str, kind: Image.Resampling, size: int) -> None:
    image = np.random.default_rng(size).integers(0, 256, (24, 30, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((size, size), kind))
    np.testing.assert_array_equal(resize(image, size, resampler), expected)


@pytest.mark.parametrize("resampler", RESAMPLERS)
class TestEveryResampler:
    def test_shapes(self, resampler: str) -> None:
        image = pixels(0, 20, 30)
        assert resize(image, 7, resampler).shape == (7, 7, 3)
        assert down_up(image, 7, resampler).shape == image.shape
        assert resize(image, 7, resampler).dtype == np.uint8

    def test_its_own_size_changes_nothing(self, resampler: str) -> None:
        np.testing.assert_array_equal(resize(SMOOTH, 24, resampler), SMOOTH)
        np.testing.assert_array_equal(down_up(SMOOTH, 24, resampler), SMOOTH)

    def test_one_colour_stays_one_colour(self, resampler: str) -> None:
        image = np.full((20, 20, 3), (3, 128, 255), np.uint8)
        assert (down_up(image, 7, resampler) == (3, 128, 255)).all()

    def test_a_batch_is_its_images(self, resampler: str) -> None:
        batch = np.stack([pixels(n, 20, 14) for n in range(3)])
        for change in (resize, down_up):
            alone = [change(image, 7, resampler) for image in batch]
            np.testing.assert_array_equal(change(batch, 7, resampler), alone)

    def test_the_input_is_left_alone_and_the_output_is_the_callers(self, resampler: str) -> None:
        image = SMOOTH.copy()
        image.setflags(write=False)
        down_up(image, 7, resampler)[:] = 0


def test_resamplers_differ_where_it_matters() -> None:
    """A 7-pixel face is another face through another resampler."""
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    small = {name: resize(image, 7, name).astype(int) for name in RESAMPLERS}
    assert np.abs(small["opencv_linear"] - small["torch_bilinear"]).max() <= 1
    assert np.abs(small["opencv_linear"] - small["pil_bilinear"]).max() > 20
    assert np.abs(small["pil_nearest"] - small["pil_bicubic"]).max() > 20
