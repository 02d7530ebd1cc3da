"""Which order a list of landmarks was written in, found out from its numbers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from stages.align.readings import (
    LAYOUTS,
    NAMES,
    PAIRS,
    UPWARDS,
    frequent_misfit,
    other_readings,
    points_of,
)
from stages.core.geometry import misfit
from tests.align.heads import frontal, written


def as_list(face: list[tuple[float, float]], layout: str) -> list[float]:
    """The numbers of one line, put there one by one as the layout's name says."""
    x, y = [point[0] for point in face], [point[1] for point in face]
    if layout == UPWARDS:
        y, layout = [-value for value in y], PAIRS
    words = layout.replace("..", "").split()
    numbers = []
    if words[1][1] == "1":  # pairs
        for k in range(5):
            numbers += [x[k], y[k]] if words[0] == "x1" else [y[k], x[k]]
        return numbers
    return x + y if words[0] == "x1" else y + x


@pytest.mark.parametrize("layout", LAYOUTS)
def test_points_of_every_layout(layout: str) -> None:
    face = [(10.0 * k, 100.0 + 7 * k) for k in range(5)]
    numbers = np.array([as_list(face, layout)] * 3)
    np.testing.assert_array_equal(points_of(numbers, layout), [face] * 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_orders_in_every_layout_are_found_and_named(layout: str) -> None:
    """Lists of frontal faces in every seventh order (all of them pass, in half a minute): the best
    other reading is the one that the list was written in."""
    truth = frontal(200, np.random.default_rng(3)).reshape(-1, 5, 2)
    for order in list(permutations(range(5)))[::7]:
        if (layout, order) == (PAIRS, (0, 1, 2, 3, 4)):
            continue
        faces = truth[:, list(order)].astype(float)
        numbers = np.array([as_list(face.tolist(), layout) for face in faces])
        best = other_readings(numbers)[0]
        assert (best.layout, best.order) == (layout, order)
        assert best.residual == pytest.approx(np.median(misfit(truth)[0]), abs=1e-9)
        assert str(best) == f"{layout} of {', '.join(NAMES[point] for point in order)}"


def test_the_right_reading_is_not_among_the_others() -> None:
    faces = frontal(100, np.random.default_rng(4))
    readings = other_readings(faces)
    assert all((r.layout, r.order) != (PAIRS, (0, 1, 2, 3, 4)) for r in readings)
    residuals = [reading.residual for reading in readings]
    assert residuals == sorted(residuals)
    assert residuals[0] > np.median(misfit(faces.reshape(-1, 5, 2))[0])


@pytest.mark.parametrize("way", ["backwards", "planes", "planes_backwards", "exchanged"])
def test_frequent_orders_are_found_image_by_image(way: str) -> None:
    faces = frontal(100, np.random.default_rng(5))
    right = misfit(faces.reshape(-1, 5, 2))[0]
    wrong = frequent_misfit(written(faces, way))
    assert (wrong <= right + 1e-9).all()
    assert (frequent_misfit(faces) > 2 * right).all()
