"""Segmented farthest-point selection against a loop over one set, and where it is defined."""

from __future__ import annotations

import numpy as np
import pytest

from stages.heads._selection import IMAGES_A_BLOCK, NOT_THERE, SETS_A_BLOCK, farthest_points


def slow(unit: np.ndarray, norm: np.ndarray, gamma: float, count: int) -> list[int]:
    """One set, in double precision, straight from the definition."""
    unit, norm = unit.astype(np.float64), norm.astype(np.float64)
    chosen = [int(np.argmax(norm))]
    while len(chosen) < min(count, len(norm)):
        best, farthest = -1.0, -1
        for j in range(len(norm)):
            if j not in chosen:
                weight = norm[j] ** gamma if norm[j] > 0 else 0.0
                near = min(weight * (1 - unit[j] @ unit[c]) / 2 for c in chosen)
                if near > best:
                    best, farthest = near, j
        chosen.append(farthest)
    return chosen


def made(sizes: list[int], dimensions: int = 12, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(sum(sizes), dimensions)).astype(np.float32)
    norm = random.uniform(3, 40, sum(sizes)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), norm


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.7, -0.5])
def test_every_set_as_if_alone(gamma) -> None:
    """Sets of none, one, fewer than K and many; more sets than a block has, and a larger one."""
    sizes = [1, 4, 0, 2, 30, 3, 0, IMAGES_A_BLOCK + 5, 9, *[5] * (2 * SETS_A_BLOCK), 0]
    unit, norm = made(sizes)
    picks = farthest_points(unit, norm, np.array(sizes), gamma, 4)
    assert picks.shape == (len(sizes), 4)
    for row, size, end in zip(picks, sizes, np.cumsum(sizes), strict=True):
        some = slice(end - size, end)
        if size <= 40:
            expected = slow(unit[some], norm[some], gamma, 4) if size else []
            assert row[: len(expected)].tolist() == [end - size + k for k in expected]
            assert np.all(row[len(expected) :] == NOT_THERE)
        assert len(set(row[row >= 0].tolist())) == min(4, size)


def test_no_sets() -> None:
    assert farthest_points(*made([]), np.array([], int), 0.0, 3).shape == (0, 3)


def test_first_among_equals_and_duplicates_once() -> None:
    """Five times one image: each is chosen once, in order."""
    unit = np.tile(made([1])[0], (5, 1))
    picks = farthest_points(unit, np.full(5, 20.0, np.float32), np.array([5]), 0.01, 4)
    assert picks.tolist() == [[0, 1, 2, 3]]


def test_duplicates_do_not_hide_another_image() -> None:
    unit, norm = made([2])
    unit, norm = unit[[0, 0, 0, 1]], np.array([30, 30, 30, 10], np.float32)
    assert farthest_points(unit, norm, np.array([4]), 0.0, 2).tolist() == [[0, 3]]


@pytest.mark.parametrize("gamma", [0.0, 0.5, -0.5])
def test_norm_zero_is_chosen_last(gamma) -> None:
    unit, norm = made([5])
    unit[1], norm[1] = 0, 0
    picks = farthest_points(unit, norm, np.array([5]), gamma, 5)[0].tolist()
    assert picks[-1] == 1
    assert sorted(picks) == [0, 1, 2, 3, 4]
    assert farthest_points(0 * unit, 0 * norm, np.array([5]), gamma, 2).tolist() == [[0, 1]]


def test_equal_images_of_several_sets_are_chosen_once_each() -> None:
    unit, norm = np.tile(made([1])[0], (6, 1)), np.full(6, 20.0, np.float32)
    picks = farthest_points(unit, norm, np.array([3, 3]), 0.01, 3)
    assert picks.tolist() == [[0, 1, 2], [3, 4, 5]]
