"""Transforms and crops against those of the reference (skimage's estimate, OpenCV's warp)."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.core.geometry import CROP, TEMPLATE, similarity, template, warp
from tests.goldens import golden

pytestmark = pytest.mark.golden

ROUNDINGS = 8  # of float32 in each number of a reference's matrix; found in the files: up to 1.3
SAME_MAJOR, OTHER_MAJOR = 1, 8  # grey levels: the warp of OpenCV 5 rounds differently
CENTRE = 56.0

# Landmarks by the names of the golden cases. Turned and scaled about the centre of the template,
# which then lies at (x, y): degrees, scale, x, y.
POSES = {
    "canonical": (0, 1.0, 56, 56),
    "rot20_s0.8": (20, 0.8, 66, 70),
    "rot-35_s1.1": (-35, 1.1, 64, 62),
    "rot180": (180, 1.0, 70, 75),
    "tiny_s0.1": (5, 0.1, 56, 56),
}
POINTS = {
    "mirrored_x": TEMPLATE * [-1, 1] + [122, 10],
    "profile": [[60, 55], [64, 54], [70, 72], [61, 92], [65, 91]],
    "collinear": [[20, 20], [40, 40], [60, 60], [80, 80], [100, 100]],
    "ijbb_line1": [
        [46.060, 62.026],
        [87.785, 60.323],
        [68.851, 77.656],
        [52.162, 99.875],
        [86.450, 98.648],
    ],
}


def posed(degrees: float, scale: float, x: float, y: float) -> np.ndarray:
    turned = scale * np.exp(1j * np.radians(degrees)) * ((TEMPLATE - CENTRE) @ [1, 1j])
    return np.stack([turned.real + x, turned.imag + y], axis=1)


CASES = {name: posed(*pose) for name, pose in POSES.items()} | POINTS


def names(arrays: np.lib.npyio.NpzFile, suffix: str) -> list[str]:
    return [key.removesuffix(suffix) for key in arrays.files if key.endswith(suffix)]


def distance(crop: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(crop.astype(int) - expected).max())


def tolerance(opencv: int) -> int:
    return SAME_MAJOR if int(cv2.__version__.split(".")[0]) == opencv else OTHER_MAJOR


def assert_same(matrix: np.ndarray, expected: np.ndarray, landmarks: np.ndarray, side: int) -> None:
    """The reference estimates (A | t) in float32, where u = 2^-24; ours is float64.

    A is a ratio of moments of landmarks l about their mean m, so its error is u s |l| sqrt(5) / r,
    s the scale and r the root of the sum of |l - m|^2. t = d - A m, d the mean of a template of
    `side` px: its error is u (side + s |m|) and that of A times |m|.
    """
    landmarks = landmarks.astype(np.float64)
    unit, scale = ROUNDINGS * 2.0**-24, np.hypot(expected[0, 0], expected[1, 0])
    mean, largest = np.abs(landmarks.mean(0)).max(), np.abs(landmarks).max()
    spread = np.linalg.norm(landmarks - landmarks.mean(0))
    linear = unit * scale * largest * np.sqrt(5) / spread if spread else np.inf
    allowed = [linear, linear, unit * (side + scale * mean) + linear * mean]
    np.testing.assert_array_equal(np.isnan(matrix), np.isnan(expected))
    known = ~np.isnan(expected)
    assert (np.abs(matrix - expected) <= allowed)[known].all(), (matrix, expected, allowed)


@golden("ijb/align5*.npz")
def test_transforms(file: Path) -> None:
    arrays = np.load(file)
    cases = names(arrays, "_lmk")
    landmarks = np.stack([arrays[f"{case}_lmk"] for case in cases])
    sizes = {int(match[1]) for key in arrays.files if (match := re.search(r"_M(\d+)$", key))}
    assert sizes
    for size in sorted(sizes):
        matrices = similarity(landmarks, template(size))
        for case, matrix in zip(cases, matrices, strict=True):
            if f"{case}_M{size}" not in arrays:
                continue
            expected = arrays[f"{case}_M{size}"]
            assert_same(matrix, expected, arrays[f"{case}_lmk"], size)


@golden("ijb/align5*.npz")
def test_crops(file: Path) -> None:
    arrays = np.load(file)
    for case in names(arrays, "_crop112"):
        crop = warp(arrays["img"], similarity(arrays[f"{case}_lmk"]))
        assert distance(crop, arrays[f"{case}_crop112"]) <= tolerance(5), case


@golden("ijb/align5*.npz")
def test_other_programs_crop_alike(file: Path) -> None:
    """AdaFace's and ijb_evals' own copies of the alignment; the latter gives RGB."""
    arrays = np.load(file)
    for suffix, channels in (("_crop", slice(None)), ("_crop_rgb", slice(None, None, -1))):
        for name in names(arrays, suffix):
            case = name.partition("_")[2]
            crop = warp(arrays["img"], similarity(arrays[f"{case}_lmk"]))[..., channels]
            assert distance(crop, arrays[f"{name}{suffix}"]) <= tolerance(5), name


@golden("ijb/align_crops_cv*.npz")
def test_crops_of_other_opencv(file: Path) -> None:
    """The file has crops alone. The canonical one shows the image's first 112x112 pixels as they
    are, so that every other is checked wherever it shows those; each case's landmarks are known by
    its name."""
    arrays = np.load(file)
    allowed = tolerance(int(file.stem.split("_cv")[1][0]))
    image = arrays["canonical_crop112"]
    inside = np.zeros(image.shape[:2], np.uint8)
    inside[1:-1, 1:-1] = 255
    for case in names(arrays, "_crop112"):
        expected = arrays[f"{case}_crop112"]
        assert (expected.shape, expected.dtype) == ((CROP, CROP, 3), np.uint8)
        if case not in CASES:
            continue
        matrix = similarity(np.asarray(CASES[case], np.float32))
        shown = warp(inside, matrix) == 255
        assert shown.sum() > 500, case
        assert distance(warp(image, matrix)[shown], expected[shown]) <= allowed, case


@golden("btnet/ijbc_preprocess*.npz")
def test_ijbc_transform_and_crop(file: Path) -> None:
    """BTNet's IJB-C script: RGB crop for the first network, its mirror image for the second, where
    both are asked for at 112 px and nothing is resized."""
    arrays = np.load(file)
    matrix = similarity(arrays["landmarks"], arrays["dst"])
    for found in (matrix, similarity(arrays["landmarks"])):
        assert_same(found, arrays["M"], arrays["landmarks"], CROP)
    crop = warp(arrays["raw_bgr"], matrix)[..., ::-1].transpose(2, 0, 1)
    for blob in names(arrays, "_r112_112_u00_d00_blob1"):
        assert distance(crop, arrays[f"{blob}_r112_112_u00_d00_blob1"]) <= tolerance(5)
    for blob in names(arrays, "_r112_112_u00_d00_blob2flip"):
        mirrored = arrays[f"{blob}_r112_112_u00_d00_blob2flip"]
        assert distance(crop[..., ::-1], mirrored) <= tolerance(5)
