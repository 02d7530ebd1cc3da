"""The detector on photographs: where landmarks land, and that they do not lean to a side."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.core.detector import LEFT_EYE, RIGHT_EYE, Detector
from stages.fetch.photographs import photographs

MIRROR = [1, 0, 2, 4, 3]  # left and right change places


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """One photograph of each of twenty people, RGB."""
    people = photographs()
    return [cv2.cvtColor(people[person][0], cv2.COLOR_GRAY2RGB) for person in range(1, 41, 2)]


def test_landmarks_do_not_lean(detector: Detector, images: list[np.ndarray]) -> None:
    """What is found in a mirror image is the mirror image of what is found, on the average: a
    shift of the network, as of OpenCV 5's, would show as half of the difference."""
    found = np.stack([detector.largest(image).landmarks for image in images])
    width = images[0].shape[1]
    turned = [detector.largest(np.ascontiguousarray(image[:, ::-1])) for image in images]
    mirrored = np.stack([face.landmarks[MIRROR] for face in turned]) * [-1, 1] + [width - 1, 0]
    eyes = np.linalg.norm(found[:, RIGHT_EYE] - found[:, LEFT_EYE], axis=1)
    lean = (found - mirrored)[..., 0].mean(1) / 2 / eyes
    assert abs(lean.mean()) < 0.02
    assert np.abs(found - mirrored)[..., 1].mean() < 1.5


def test_landmarks_are_where_a_face_has_them(detector: Detector, images: list[np.ndarray]) -> None:
    for image in images:
        face = detector.largest(image)
        left, right, nose, mouth_left, mouth_right = face.landmarks
        assert left[0] < right[0]
        assert mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert 0.7 < face.score <= 1


@pytest.mark.parametrize("factor", [0.5, 2, 5])
def test_the_size_of_the_photograph_does_not_matter(
    detector: Detector, images: list[np.ndarray], factor: float
) -> None:
    """The centre of pixel p of a photograph lies at (p + 1/2) * factor - 1/2 of the scaled one."""
    for image in images[:5]:
        scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        expected = (detector.largest(image).landmarks + 0.5) * factor - 0.5
        error = np.abs(detector.largest(scaled).landmarks - expected).mean(0)
        assert error.max() < 1.5 * max(1, factor)


def test_a_shifted_photograph_shifts_landmarks(
    detector: Detector, images: list[np.ndarray]
) -> None:
    for image in images[:5]:
        moved = cv2.copyMakeBorder(image, 12, 0, 20, 0, cv2.BORDER_CONSTANT)
        difference = detector.largest(moved).landmarks - detector.largest(image).landmarks
        assert np.abs(difference.mean(0) - [20, 12]).max() < 1.5


def test_takes_the_largest_face(detector: Detector, images: list[np.ndarray]) -> None:
    """Two people side by side, one three times as large."""
    large = cv2.resize(images[1], None, fx=3, fy=3)
    canvas = np.full((large.shape[0], 92 + large.shape[1], 3), 127, np.uint8)
    canvas[:112, :92] = images[0]
    canvas[:, 92:] = large
    landmarks = detector.largest(canvas).landmarks
    assert landmarks[:, 0].min() > 92
    assert np.linalg.norm(landmarks[RIGHT_EYE] - landmarks[LEFT_EYE]) > 60


@pytest.mark.parametrize("shape", [(112, 92, 3), (6, 7, 3), (300, 40, 3)])
def test_no_face(detector: Detector, shape: tuple[int, int, int]) -> None:
    assert detector.largest(np.full(shape, 127, np.uint8)) is None
