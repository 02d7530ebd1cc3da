"""Five landmarks of heads in space, projected: what lists of landmarks hold, of any pose.

Unit: the distance between the pupils, 63 mm in the mean adult. The origin is between the pupils, y
points down and z towards the camera of a frontal photograph. Mouth corners are 26 mm to each side,
71 mm below, and hardly nearer to the camera; the tip of the nose is 38 mm below the pupils and 25
mm nearer. People differ by the deviations given.
"""

from __future__ import annotations

import numpy as np

MOUTH_SIDE, MOUTH_DOWN, MOUTH_NEAR = (0.41, 0.04), (1.13, 0.07), (0.05, 0.05)
NOSE_DOWN, NOSE_NEAR = (0.60, 0.07), (0.40, 0.06)
NOISE = 0.03  # of a detector, in pupil distances
DISTANCE = 10  # of the camera
ORDERS = ("backwards", "planes", "exchanged", "upside_down")


def heads(count: int, rng: np.random.Generator) -> np.ndarray:
    """Left and right eye (as seen), nose, left and right corner of the mouth, [n, 5, 3]."""

    def draw(mean: float, deviation: float) -> np.ndarray:
        return mean + deviation * rng.standard_normal(count)

    points = np.zeros((count, 5, 3))
    points[:, 0, 0], points[:, 1, 0] = -0.5, 0.5
    points[:, 2, 1], points[:, 2, 2] = draw(*NOSE_DOWN), draw(*NOSE_NEAR)
    side, down, near = draw(*MOUTH_SIDE), draw(*MOUTH_DOWN), draw(*MOUTH_NEAR)
    for corner, sign in ((3, -1), (4, 1)):
        points[:, corner] = np.stack([sign * side, down, near], axis=1)
    return points


def turned(points: np.ndarray, degrees: np.ndarray, first: int, second: int) -> np.ndarray:
    """Points [n, 5, 3] rotated from axis `first` towards axis `second`."""
    cosine, sine = np.cos(np.radians(degrees))[:, None], np.sin(np.radians(degrees))[:, None]
    result = points.copy()
    result[..., first] = cosine * points[..., first] - sine * points[..., second]
    result[..., second] = sine * points[..., first] + cosine * points[..., second]
    return result


def landmarks(
    yaw: np.ndarray, rng: np.random.Generator, pitch: float = 10.0, roll: float = 15.0
) -> np.ndarray:
    """Landmarks float32 [n, 10] of heads of these yaws, somewhere in images of 300 x 300 pixels.

    Args:
        yaw: degrees, [n].
        pitch, roll: standard deviations of the other angles, degrees; roll is uniform.
    """
    count = len(yaw)
    points = turned(heads(count, rng), yaw, 0, 2)
    points = turned(points, pitch * rng.standard_normal(count), 1, 2)
    points = turned(points, roll * np.sqrt(3) * rng.uniform(-1, 1, count), 0, 1)
    flat = points[..., :2] * (DISTANCE / (DISTANCE - points[..., 2:]))
    flat += NOISE * rng.standard_normal(flat.shape)
    flat = flat * rng.uniform(30, 60, (count, 1, 1)) + rng.uniform(110, 170, (count, 1, 2))
    return flat.reshape(count, 10).astype(np.float32)


def frontal(count: int, rng: np.random.Generator) -> np.ndarray:
    """Landmarks [n, 10] of faces as press photographs have them."""
    return landmarks(20 * rng.standard_normal(count), rng)


def written(numbers: np.ndarray, way: str) -> np.ndarray:
    """What a list holds that writes landmarks [n, 10] in a wrong order."""
    points = numbers.reshape(-1, 5, 2)
    return {
        "backwards": lambda: points[..., ::-1].reshape(-1, 10),
        "planes": lambda: np.concatenate([points[..., 0], points[..., 1]], axis=1),
        "exchanged": lambda: points[:, [1, 0, 2, 4, 3]].reshape(-1, 10),
        "upside_down": lambda: points[:, [4, 3, 2, 1, 0]].reshape(-1, 10),
        "nose_first": lambda: points[:, [2, 0, 1, 3, 4]].reshape(-1, 10),
        "nose_last": lambda: points[:, [0, 1, 3, 4, 2]].reshape(-1, 10),
        "planes_backwards": lambda: np.concatenate([points[..., 1], points[..., 0]], axis=1),
    }[way]()
