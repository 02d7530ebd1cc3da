"""Five landmarks and the crop they define: template, similarity transform, warp.

Least-squares similarity: Umeyama, TPAMI 13(4), 1991, without its reflection branch. In the plane a
similarity is one complex multiplication and one addition, so that the fit has a closed form.
"""

from __future__ import annotations

import numpy as np

# ArcFace's landmarks in a 112x112 crop (x, y): left eye, right eye, nose, left and right corner of
# the mouth, as they lie in the image. Source: insightface, `arcface_dst` of face_align.py.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
CROP = 112  # pixels of a side of the crop that TEMPLATE is for
WIDE = 128  # a crop of this side is CROP with MARGIN more pixels on the left and on the right
MARGIN = np.array([8, 0])  # (x, y)


def template(size: int = CROP) -> np.ndarray:
    """Landmarks [5, 2] of a size x size crop.

    Args:
        size: pixels; a multiple of 112 scales TEMPLATE, one of 128 leaves margins left and right.

    Raises:
        ValueError: size is a multiple of neither.
    """
    if size > 0 and size % CROP == 0:
        return TEMPLATE * (size / CROP)
    if size > 0 and size % WIDE == 0:
        return (TEMPLATE + MARGIN) * (size / WIDE)
    raise ValueError(f"a crop of {size} pixels: the side is a multiple of {CROP} or {WIDE}")


def similarity(landmarks: np.ndarray, target: np.ndarray = TEMPLATE) -> np.ndarray:
    """Matrices that take landmarks closest to `target` by scale, rotation and shift.

    With points as complex numbers z and targets w, both less their means, minimises
    sum |w - a z|^2 over complex a: a = sum conj(z) w / sum |z|^2 (Umeyama 1991, eqns 40-43, without
    reflection).

    Args:
        landmarks: [..., k, 2] in pixels, any float type.
        target: [k, 2].

    Returns:
        float64 [..., 2, 3] of x' = M @ (x, y, 1); NaN where all landmarks of a face coincide, or
        one of them is not finite.
    """
    points, goal = _complex(landmarks), _complex(target)
    undefined = (points == points[..., :1]).all(-1) | ~np.isfinite(points).all(-1)
    points = np.where(undefined[..., None], np.nan, points)
    centre, goal_centre = points.mean(-1), goal.mean()
    z, w = points - centre[..., None], goal - goal_centre
    power = np.einsum("...k,...k->...", z.conj(), z).real
    with np.errstate(invalid="ignore"):  # NaN in, NaN out
        a = np.einsum("...k,k->...", z.conj(), w) / power
    b = goal_centre - a * centre
    rows = np.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], axis=-1)
    return rows.reshape(*rows.shape[:-1], 2, 3)


def misfit(landmarks: np.ndarray, target: np.ndarray = TEMPLATE) -> tuple[np.ndarray, np.ndarray]:
    """How far landmarks are from `target` after the best similarity, and how far it turns them.

    With z and w as in `similarity`, the least sum |w - a z|^2 is (1 - r^2) sum |w|^2, where
    r = |sum conj(z) w| / sqrt(sum |z|^2 sum |w|^2) (Umeyama 1991, eqn 33, without reflection).

    Args:
        landmarks: [..., k, 2] in any unit, any float type.
        target: [..., k, 2]; leading axes are broadcast.

    Returns:
        float64 [...] each: the residual sqrt(1 - r^2), the RMS distance to `target` as a share of
        the RMS distance of `target` from its own centre, 0..1 and independent of the unit; and the
        angle of a in degrees, -180..180, by which the landmarks are turned (positive from x
        towards y). NaN where `similarity` is.
    """
    points, goal = _complex(landmarks), _complex(target)
    undefined = (points == points[..., :1]).all(-1) | ~np.isfinite(points).all(-1)
    points = np.where(undefined[..., None], np.nan, points)
    z, w = points - points.mean(-1, keepdims=True), goal - goal.mean(-1, keepdims=True)
    product = np.einsum("...k,...k->...", z.conj(), w)
    power = np.einsum("...k,...k->...", z.conj(), z).real
    power = power * np.einsum("...k,...k->...", w.conj(), w).real
    with np.errstate(invalid="ignore"):  # NaN in, NaN out
        unexplained = 1 - np.abs(product) ** 2 / power
        return np.sqrt(np.maximum(unexplained, 0)), np.degrees(np.angle(product))


def warp(
    image: np.ndarray, matrix: np.ndarray, size: int = CROP, outside: str = "black"
) -> np.ndarray:
    """Crop size x size of `image` (uint8 [h, w] or [h, w, c]), bilinear.

    Args:
        matrix: [2, 3], from pixels of the image to pixels of the crop; finite.
        outside: what is beyond the image: `black`, or its `edge` pixels drawn out.

    The last bit depends on the major version of OpenCV: grey levels differ by up to 6 between 4.10
    and 5.0.
    """
    import cv2

    border = {"black": cv2.BORDER_CONSTANT, "edge": cv2.BORDER_REPLICATE}[outside]
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def _complex(points: np.ndarray) -> np.ndarray:
    points = np.ascontiguousarray(points, np.float64)
    return points.view(np.complex128)[..., 0]
