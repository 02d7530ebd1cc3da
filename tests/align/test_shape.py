"""Which sets of landmarks are said to be odd, which are refused, and which pass in silence."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from stages.align.doubts import Doubt
from stages.align.landmarks import unusable
from stages.align.readings import LAYOUTS, UPWARDS
from stages.align.shape import distribution, doubts_of_images, doubts_of_set, measure
from stages.core.geometry import misfit
from tests.align.heads import ORDERS, frontal, landmarks, written
from tests.align.test_readings import as_list

SETS = 100


def doubts(numbers: np.ndarray, detected: bool = False) -> list[Doubt]:
    turn = misfit(numbers.reshape(-1, 5, 2))[1]
    return list(doubts_of_set(numbers, turn, detected))


@pytest.mark.parametrize("way", [*ORDERS, "nose_first", "nose_last", "planes_backwards"])
def test_wrong_orders_are_noticed_in_every_set(way: str) -> None:
    """100 random sets of 3 to 40 frontal faces, and 100 of faces of any yaw."""
    rng = np.random.default_rng(20)
    for _ in range(SETS):
        assert doubts(written(frontal(rng.integers(3, 41), rng), way))
        yaw = rng.uniform(-90, 90, rng.integers(10, 41))
        assert doubts(written(landmarks(yaw, rng), way))


@pytest.mark.parametrize("way", ORDERS)
def test_wrong_orders_of_frontal_faces_are_refused_by_name(way: str) -> None:
    """All but the rotation by 180 degrees, which photographs that lie have as well."""
    named = {
        "backwards": "as y1 x1 .. y5 x5 of left eye, right eye, nose",
        "planes": "as x1 .. x5 y1 .. y5 of left eye, right eye, nose",
        "exchanged": "as x1 y1 .. x5 y5 of right eye, left eye, nose",
        "upside_down": "as x1 y1 .. x5 y5 of right mouth corner, left mouth corner, nose",
    }[way]
    rng = np.random.default_rng(21)
    for _ in range(SETS):
        (doubt,) = doubts(written(frontal(30, rng), way))
        assert doubt.refuse == (way != "upside_down")
        assert named in doubt.problem
        assert "x1 y1 .. x5 y5 of left eye, right eye, nose, left mouth corner" in doubt.remedy


def test_frontal_faces_raise_no_doubt() -> None:
    rng = np.random.default_rng(22)
    for _ in range(SETS):
        assert not doubts(frontal(rng.integers(10, 41), rng))


@pytest.mark.parametrize("yaw", [0, 15, 30, 45, 60, 75, 90])
@pytest.mark.parametrize("pitch", [5.0, 30.0])
def test_no_pose_is_refused(yaw: float, pitch: float) -> None:
    """Sets of one yaw, to either side, with roll up to 45 degrees; of fewer than ten images, which
    are never refused, the doubt would not be right either."""
    rng = np.random.default_rng(23)
    for _ in range(SETS):
        sides = yaw * rng.choice([-1, 1], rng.integers(10, 41))
        faces = landmarks(sides, rng, pitch, roll=45 / np.sqrt(3))
        assert not any(doubt.refuse for doubt in doubts(faces))


def test_sets_of_profiles_are_mentioned() -> None:
    (doubt,) = doubts(landmarks(np.full(30, 85.0), np.random.default_rng(24)))
    assert "seen from the side" in doubt.problem
    assert not doubt.refuse


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_orders_in_all_layouts_are_noticed(layout: str) -> None:
    """But one: eyes and mouth exchanged and y counted from the bottom is a face mirrored at the
    nose, which lies half way between eyes and mouth in some people."""
    right, mirrored = (LAYOUTS[0], (0, 1, 2, 3, 4)), (UPWARDS, (3, 4, 2, 0, 1))
    truth = frontal(40, np.random.default_rng(25)).reshape(-1, 5, 2)
    unnoticed = []
    for order in permutations(range(5)):
        faces = truth[:, list(order)].astype(float)
        if not doubts(np.array([as_list(face.tolist(), layout) for face in faces])):
            unnoticed.append((layout, order))
    assert unnoticed == [taken for taken in (right, mirrored) if taken[0] == layout]


def test_points_at_random_are_refused() -> None:
    rng = np.random.default_rng(26)
    for _ in range(10):
        (doubt,) = doubts(rng.uniform(0, 200, (300, 10)))
        assert doubt.refuse
        assert "cannot be those of faces" in doubt.problem


def test_the_detectors_order_is_not_questioned() -> None:
    faces = frontal(30, np.random.default_rng(27))
    (doubt,) = doubts(written(faces, "backwards"), detected=True)
    assert " as " not in doubt.problem
    assert "photographs" in doubt.remedy
    assert not doubts(faces, detected=True)


def test_single_images_are_counted_and_named() -> None:
    rng = np.random.default_rng(28)
    faces = frontal(40, rng)
    faces[7:9] = written(faces[7:9], "backwards")
    faces[11] = written(faces[11:12], "planes")
    faces[20] = np.array([[0, 0], [100, 90], [2, 95], [98, 3], [50, 100]]).ravel()
    source = [f"picture {row}" for row in range(40)]
    first, second = doubts_of_images(measure(faces), source)
    assert "3 of 40 images have landmarks that are faces only in another order" in first.problem
    assert "the first is picture 7" in first.problem
    assert "1 of 40 images have landmarks that no face can show" in second.problem
    assert "picture 20" in second.problem
    assert not first.refuse
    assert not second.refuse


def test_single_profiles_are_not_named() -> None:
    rng = np.random.default_rng(29)
    faces = landmarks(rng.uniform(-90, 90, 5000), rng, pitch=20.0)
    assert not list(doubts_of_images(measure(faces), ["profile"] * len(faces)))


def test_distribution_is_of_the_images_with_crops() -> None:
    faces = frontal(50, np.random.default_rng(30))
    shapes = measure(faces)
    usable = np.arange(50) % 5 > 0
    found = distribution(shapes, usable)
    residual, turn = misfit(faces[usable].reshape(-1, 5, 2))
    expected = {
        "residual_p05": np.quantile(residual, 0.05),
        "residual_median": np.median(residual),
        "residual_p95": np.quantile(residual, 0.95),
        "residual_max": residual.max(),
        "rotation_median": np.median(np.abs(turn)),
        "rotation_p95": np.quantile(np.abs(turn), 0.95),
    }
    assert found == pytest.approx(expected, abs=6e-5)  # float32 of degrees, four decimals
    assert distribution(shapes, np.zeros(50, bool)) == {}


def test_measures_by_blocks_are_those_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = frontal(25, np.random.default_rng(31))
    faces[14] = written(faces[14:15], "exchanged")
    faces[3] = np.nan
    once = measure(faces)
    monkeypatch.setattr("stages.align.shape.BLOCK", 6)
    for whole, parts in zip(once, measure(faces), strict=True):
        np.testing.assert_array_equal(whole, parts)
    assert once.reordered.nonzero()[0].tolist() == [14]


def test_reasons_why_landmarks_are_not_usable() -> None:
    class Sizes:
        width, height = np.full(8, 300), np.full(8, 300)

    faces = frontal(8, np.random.default_rng(32))
    faces[1] = -1
    faces[2] = 0
    faces[3, 4:6] = -1  # the nose was not found
    faces[4, 0:2] = 0
    faces[5] += 400
    faces[6, 3] = np.nan
    found = unusable(faces, Sizes, "landmarks").tolist()
    assert found == [
        "",
        "landmarks_coincide",
        "landmarks_coincide",
        "landmark_missing",
        "landmark_missing",
        "landmarks_outside",
        "no_landmarks",
        "",
    ]
    faces[7, 0] = 0  # one coordinate of zero is a place
    assert unusable(faces, Sizes, "landmarks")[7] == ""
    detected = unusable(faces, Sizes, "detect").tolist()
    assert detected == ["", "landmarks_coincide", "landmarks_coincide", "", "", "", "no_face", ""]
