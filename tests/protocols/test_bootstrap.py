"""Intervals against plain resampling and known values."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import _bootstrap
from stages.protocols._bootstrap import Resampling, resampled_roc, student, wilson
from stages.protocols._roc import Scores


def made_pairs(seed: int = 0, people: int = 9, images: int = 4):
    """Scores, same, and people of both sides of all pairs of a small set."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(len(person), 1)
    same = person[first] == person[second]
    scores = random.normal(size=len(same)).astype(np.float32) * 0.4 + same
    return scores.astype(np.float32), same, person[first], person[second]


def curves_of(scores, same, left, right, people, resampling):
    impostor = (scores[~same], left[~same], right[~same])
    return resampled_roc((scores[same], left[same]), impostor, people, resampling)


def test_each_replicate_is_the_curve_of_its_repeated_pairs() -> None:
    scores, same, left, right = made_pairs()
    resampling = Resampling(replicates=40, seed=3)
    curves = curves_of(scores, same, left, right, 9, resampling)
    for k, weight in enumerate(resampling.weights(9).astype(int)):
        times = np.where(same, weight[left], weight[left] * weight[right])
        roc = Scores(np.repeat(scores, times), np.repeat(same, times)).roc
        assert curves.auc()[k] == pytest.approx(roc.auc(), abs=1e-5)
        assert curves.eer()[k] == pytest.approx(roc.eer(), abs=1e-5)
        for far in (0.05, 0.1, 0.5):
            assert curves.tar(far)[k] == pytest.approx(roc.tar(far), abs=1e-5)


def test_weights_draw_as_many_people_as_there_are_the_same_every_time() -> None:
    weights = Resampling(50, seed=7).weights(12)
    assert np.all(weights.sum(axis=1) == 12)
    np.testing.assert_array_equal(weights, Resampling(50, seed=7).weights(12))
    assert np.any(weights != Resampling(50, seed=8).weights(12))


def test_many_people_are_put_into_groups_of_equal_size() -> None:
    group, groups = Resampling().grouped(np.repeat(np.arange(500) * 7, 2))
    assert groups == 128
    assert np.all(group[::2] == group[1::2])
    assert set(np.bincount(group[::2])) == {3, 4}
    few, count = Resampling().grouped(np.array([5, 9, 5]))
    assert (few.tolist(), count) == ([0, 1, 0], 2)


def test_groups_give_intervals_like_people(monkeypatch) -> None:
    scores, same, left, right = made_pairs(people=60, images=3)
    spread = {}
    for limit in (128, 30):
        monkeypatch.setattr(_bootstrap, "MOST_CLUSTERS", limit)
        resampling = Resampling(replicates=400, seed=0)
        group, groups = resampling.grouped(np.arange(60))
        curves = curves_of(scores, same, group[left], group[right], groups, resampling)
        spread[limit] = curves.tar(0.05).std()
    assert spread[30] == pytest.approx(spread[128], rel=0.35)


def test_thinned_thresholds_change_little(monkeypatch) -> None:
    scores, same, left, right = made_pairs(people=20, images=8)
    resampling = Resampling(replicates=100)
    exact = curves_of(scores, same, left, right, 20, resampling)
    monkeypatch.setattr(_bootstrap, "MOST_THRESHOLDS", 300)
    coarse = curves_of(scores, same, left, right, 20, resampling)
    assert coarse.fmr.shape[1] < exact.fmr.shape[1]
    np.testing.assert_allclose(coarse.auc(), exact.auc(), atol=1e-3)
    np.testing.assert_allclose(coarse.tar(0.1), exact.tar(0.1), atol=0.02)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """AUC of dependent pairs: person effects make naive intervals far too narrow."""
    people, images, sets = 15, 4, 120
    resampling = Resampling(replicates=200)
    areas, intervals = [], []
    for seed in range(sets):
        random = np.random.default_rng(seed)
        person = np.repeat(np.arange(people), images)
        easy = random.normal(size=people) * 0.7
        first, second = np.triu_indices(len(person), 1)
        same = person[first] == person[second]
        scores = random.normal(size=len(same)) + same * (1.5 + easy[person[first]])
        scores = scores.astype(np.float32)
        curves = curves_of(scores, same, person[first], person[second], people, resampling)
        areas.append(Scores(scores, same).roc.auc())
        intervals.append(_bootstrap.percentiles(curves.auc()))
    truth = np.mean(areas)
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.85 <= covered <= 1


def test_wilson_by_its_equation_and_its_ends() -> None:
    low, high = wilson(8, 10)
    for p in (low, high):  # the ends solve |share - p| = z sqrt(p (1 - p) / n)
        assert abs(0.8 - p) == pytest.approx(1.959964 * np.sqrt(p * (1 - p) / 10), rel=1e-5)
    assert wilson(10, 10)[1] == pytest.approx(1, abs=1e-12)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)


def test_student_by_hand() -> None:
    """Ten folds: mean +- 2.262 s / sqrt(10)."""
    folds = np.array([0.9, 0.8] * 5)
    low, high = student(folds)
    half = 2.262 * np.sqrt(np.sum((folds - 0.85) ** 2) / 9) / np.sqrt(10)
    assert (low, high) == (pytest.approx(0.85 - half), pytest.approx(0.85 + half))
