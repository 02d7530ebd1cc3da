"""Intervals against plain resampling and known values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stages.protocols import _bootstrap
from stages.protocols._bootstrap import (
    ResampledRoc,
    Resampling,
    count_of_folds,
    effective_count,
    log_odds_interval,
    paired_interval,
    resampled_roc,
    student,
    t95,
    weighted_share,
    wilson,
)
from stages.protocols._result import measure
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


def test_a_rate_that_is_reached_exactly_gives_the_most_that_it_allows() -> None:
    """Also where float32 leaves it a little above; between two corners on a straight line."""
    tmr = np.array([[0, 0.5, 0.75, 0.75, 1]], np.float32)
    for tenth in (np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1))):
        curve = ResampledRoc(np.array([[0, tenth, tenth, 0.5, 1]], np.float32), tmr)
        assert curve.tar(0.1) == pytest.approx(0.75)
        assert curve.tar(0.75) == pytest.approx(0.875)
        assert curve.tar(0.05) == pytest.approx(0.25)
        assert curve.eer() == pytest.approx(0.25)
        assert curve.auc() == pytest.approx(0.025 + 0.3 + 0.4375)


def test_a_replicate_without_trials_has_no_share() -> None:
    weights = np.array([[0, 2], [1, 1], [2, 0]], np.float32)
    shares = weighted_share(np.array([True, False, True]), np.array([0, 0, 0]), weights)
    np.testing.assert_allclose(shares, [np.nan, 2 / 3, 2 / 3])


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


def test_an_interval_on_the_scale_of_log_odds_by_hand() -> None:
    """0.8 and a standard error of 0.05 from 20 people: log 4 +- 2.093 * 0.05 / 0.16."""
    spread = 0.05 / np.sqrt(20 / 19)
    low, high = log_odds_interval(0.8, np.array([0.8 - spread, 0.8 + spread]), 20)
    for end, sign in ((low, -1), (high, 1)):
        assert np.log(end / (1 - end)) == pytest.approx(np.log(4) + sign * 2.0930 * 0.3125, 1e-3)
    assert log_odds_interval(1.0, np.ones(50), 20) == wilson(20, 20)
    assert log_odds_interval(0.5, np.full(9, np.nan), 20) == wilson(10, 20)


def test_replicates_that_are_no_number_do_not_count() -> None:
    """Three replicates, one of nobody: log 4 +- 2.093 * 0.05 * sqrt(20 / 19) / 0.16."""
    samples = np.array([0.75, 0.85, np.nan])
    found = log_odds_interval(0.8, samples, 20)
    assert found == log_odds_interval(0.8, samples[:2], 20)
    assert found == (pytest.approx(0.671557, abs=1e-5), pytest.approx(0.886688, abs=1e-5))
    half = 2.093 * 0.05 * np.sqrt(20 / 19)
    expected = pytest.approx(0.1 - half, abs=1e-5), pytest.approx(0.1 + half, abs=1e-5)
    assert paired_interval(0.1, np.array([0.05, 0.15, np.nan]), 20, folds=False) == expected


def test_odds_beyond_all_numbers_are_a_share_of_one() -> None:
    """A standard error of 400 times the share: exp(840) is infinite, and nobody is warned."""
    with np.errstate(over="raise"):
        assert log_odds_interval(1e-4, np.array([0, 0.08]), 20) == (0, 1)


def test_students_t_against_scipy() -> None:
    for freedom in (1, 5, 10, 11, 19, 49, 127, 5000):
        assert t95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-4)


def test_the_effective_count_between_subjects_and_trials() -> None:
    """20 people of 9 trials: 20 if a person's scores are equal, 180 if they are independent."""
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 9)
    own = random.normal(size=20)[person]
    assert effective_count(own, person) == pytest.approx(20)
    assert effective_count(random.normal(size=180), person) > 120
    assert effective_count(own, np.arange(180)) == 180
    half = own + random.normal(size=180)  # a correlation of 1/2: 180 / (1 + 8 / 2)
    assert effective_count(half, person) == pytest.approx(36, rel=0.3)


def test_the_effective_count_by_hand() -> None:
    """n / (1 + (m - 1) r), r = (between - within) / (between + (usual - 1) within), 0 to 1.

    Squares of 2 within three people, 2 / 3 by freedom, and of 43.5 between them, 87 / 4; a trial
    has 7 / 3 of its person on average, a person usually 11 / 6: r is 69 / 73, the count 146 / 55.
    """
    for scores, person, count in (
        ([1, 2, 3, 6, 6, 9], [0, 0, 0, 1, 1, 2], 146 / 55),
        ([1, 1, 1, 0], [0, 0, 0, 1], 4 / 2.5),  # r = 1, a trial has 10 / 4 of its person
        ([0, 1, 0, 1], [0, 0, 1, 1], 4),  # people differ less than their trials: r = 0
        ([1, 1, 1, 1], [0, 0, 1, 1], 2),  # nothing is known of r: it is 1
        ([0.1, 0.2, 0.3], [0, 0, 0], 1),  # one person
    ):
        assert effective_count(np.array(scores), np.array(person)) == pytest.approx(count)


def test_paired_differences_are_surer_than_two_intervals() -> None:
    """Two rows that are equally hard for the same people: their difference is known well."""
    scores, same, left, right = made_pairs(people=20, images=5)
    better = scores + np.float32(0.02) * same + np.float32(0.01)
    resampling = Resampling(300)
    one, two = (curves_of(s, same, left, right, 20, resampling).auc() for s in (scores, better))
    low, high = paired_interval(two.mean() - one.mean(), two - one, 20, folds=False)
    alone = log_odds_interval(one.mean(), one, 20)
    assert 0 < low < high
    assert high - low < (alone[1] - alone[0]) / 5
    folds = np.array([0.1, 0.2, 0.3])
    assert paired_interval(0.2, folds, 3, folds=True)[1] == pytest.approx(student(folds)[1])


def test_samples_that_tell_nothing_leave_a_difference_open() -> None:
    for samples, number in (([0.1, 0.2], 1), ([0.1, 0.1], 20), ([np.nan, np.nan], 20)):
        assert paired_interval(0.1, np.array(samples), number, folds=False) == (-1, 1)
    assert paired_interval(0.0, np.zeros(9), 20, folds=False) == (0, 0)


def test_ten_errors_are_not_few_and_nine_are() -> None:
    """Also where ten is a product that rounding leaves below ten: (1 - 50 / 60) * 60."""
    drawn = Resampling().drawn(np.arange(20))
    assert (1 - 50 / 60) * 60 < 10
    for right, few in ((50, False), (51, True), (10, False), (9, True)):
        share = right / 60
        errors = (1 - share) * 60
        found = measure(share, np.linspace(0, 1, 9), 60, drawn, errors=errors, effective=60)
        assert ("fewer than 10 errors" in found.method) == (few and right > 30), right
        assert ("Wilson" in found.method) == few, right


@pytest.mark.parametrize(
    ("errors", "alarms", "few"),
    [(9, np.inf, True), (10, np.inf, False), (None, np.inf, False), (None, 3, True),
     (None, 10, False), (50, 9, True), (9, 50, True), (50, 50, False)],
)  # fmt: skip
def test_the_fewer_of_errors_and_alarms_mark_a_number(errors, alarms, few: bool) -> None:
    """The interval stays that of the replicates where no effective count is given."""
    drawn, samples = Resampling().drawn(np.arange(20)), np.linspace(0.4, 0.6, 9)
    found = measure(0.5, samples, 100, drawn, "a note", errors, alarms=alarms)
    mark = "; fewer than 10 errors" if few else ""
    assert found.method == drawn.method + "; a note" + mark
    assert (found.low, found.high) == log_odds_interval(0.5, samples, 20)


@pytest.mark.parametrize("errors", [3, 97])
def test_few_trials_that_went_wrong_or_right_have_wilson_s_interval(errors: int) -> None:
    """Of the effective count; only wrong ones are a mark. False alarms do not change it."""
    drawn, samples = Resampling().drawn(np.arange(20)), np.linspace(0.4, 0.6, 9)
    value = 1 - errors / 100
    found = measure(value, samples, 100, drawn, "a note", errors, effective=40.5)
    mark = "; fewer than 10 errors" if errors == 3 else ""
    assert found.method == "Wilson with the effective count of trials; a note" + mark
    assert (found.low, found.high) == wilson(value * 40.5, 40.5)
    many = measure(0.5, samples, 100, drawn, errors=50, effective=40.5, alarms=2)
    assert many.method == drawn.method + "; fewer than 10 errors"
    assert (many.low, many.high) == log_odds_interval(0.5, samples, 20)


def test_the_key_names_people_seed_and_replicates() -> None:
    keys = {
        Resampling(r, s).drawn(np.array(people)).key
        for r, s, people in ((9, 0, [1, 2, 2]), (9, 1, [1, 2]), (8, 0, [1, 2]), (9, 0, [1, 3]))
    }
    assert len(keys) == 4
    assert Resampling(9, 0).drawn(np.array([2, 1])).key in keys


def test_wilson_by_its_equation_and_its_ends() -> None:
    low, high = wilson(8, 10)
    for p in (low, high):  # the ends solve |share - p| = z sqrt(p (1 - p) / n)
        assert abs(0.8 - p) == pytest.approx(1.959964 * np.sqrt(p * (1 - p) / 10), rel=1e-5)
    assert wilson(10, 10)[1] == pytest.approx(1, abs=1e-12)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)


def test_the_count_of_folds_by_hand() -> None:
    """0.85 with a variance of 0.025 / 9 a fold: as many trials as give a t as wide as a z."""
    count = count_of_folds(np.array([0.9, 0.8] * 5))
    assert count == pytest.approx(0.85 * 0.15 / (0.025 / 90) * (1.959964 / 2.262) ** 2)
    assert count_of_folds(np.ones(10)) == np.inf


def test_student_by_hand() -> None:
    """Ten folds: mean +- 2.262 s / sqrt(10)."""
    folds = np.array([0.9, 0.8] * 5)
    low, high = student(folds)
    half = 2.262 * np.sqrt(np.sum((folds - 0.85) ** 2) / 9) / np.sqrt(10)
    assert (low, high) == (pytest.approx(0.85 - half), pytest.approx(0.85 + half))
