"""The exact curve against scikit-learn and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from pyeer.eer_stats import calculate_roc, calculate_roc_auc, get_eer_values
from sklearn.metrics import roc_auc_score, roc_curve

from stages.protocols import _counting
from stages.protocols._roc import Roc, Scores, thinned

FAR = [1e-4, 1e-3, 0.01, 0.1, 0.3, 1.0]


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    found = {}
    for name, count, share, step in (
        ("plain", 3000, 0.1, 0),
        ("few", 40, 0.5, 0),
        ("ties", 3000, 0.2, 0.1),
        ("heavy ties", 500, 0.5, 0.5),
        ("mostly genuine", 800, 0.95, 0.01),
    ):
        same = random.random(count) < share
        scores = (random.normal(size=count) * 0.3 + 0.3 * same).astype(np.float32)
        found[name] = (np.round(scores / step) * step if step else scores).astype(np.float32), same
    found["separated"] = np.array([0.9, 0.8, 0.2, 0.1], np.float32), np.array([1, 1, 0, 0], bool)
    found["swapped"] = np.array([0.9, 0.8, 0.2, 0.1], np.float32), np.array([0, 0, 1, 1], bool)
    found["all equal"] = np.zeros(10, np.float32), np.arange(10) < 4
    return found


@pytest.fixture(params=cases().items(), ids=lambda item: item[0])
def case(request) -> tuple[np.ndarray, np.ndarray]:
    return request.param[1]


def test_corners_lie_on_sklearns_whole_curve(case) -> None:
    scores, same = case
    roc = Scores(scores, same).roc
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    points = set(zip(np.rint(fpr * roc.impostors), np.rint(tpr * roc.genuine), strict=True))
    assert set(zip(roc.false.tolist(), roc.true.tolist(), strict=True)) <= points
    # and the curve between its corners passes through every other point of sklearn's
    heights = np.interp(fpr * roc.impostors + 1e-9, roc.false, roc.true)
    lowest = np.interp(fpr * roc.impostors - 1e-9, roc.false, roc.true)
    exact = np.rint(tpr * roc.genuine)
    assert np.all((exact <= heights + 1e-6) & (exact >= lowest - 1e-6))


def test_auc_is_sklearns(case) -> None:
    scores, same = case
    assert Scores(scores, same).roc.auc() == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


def test_misordered_pairs_by_counting_all(case) -> None:
    """Equal scores count half."""
    scores, same = case
    genuine, impostor = scores[same][:, None], scores[~same]
    expected = np.sum(genuine < impostor) + np.sum(genuine == impostor) / 2
    assert Scores(scores, same).roc.misordered() == expected


@pytest.mark.parametrize("far", FAR)
def test_tar_at_most_by_trying_every_threshold(case, far: float) -> None:
    scores, same = case
    best = 0.0
    for threshold in np.append(scores, np.inf):
        if np.mean(scores[~same] >= threshold) <= far + 1e-12:
            best = max(best, np.mean(scores[same] >= threshold))
    assert Scores(scores, same).roc.tar(far) == best


@pytest.mark.parametrize("far", FAR)
def test_tar_nearest_is_the_references(case, far: float) -> None:
    """Reversed curve of scikit-learn with its default dropping, first nearest point."""
    scores, same = case
    fpr, tpr, _ = roc_curve(same, scores)
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)
    nearest = min(enumerate(np.abs(fpr - far)), key=lambda pair: pair[1])[0]
    assert Scores(scores, same).tar_nearest(far) == pytest.approx(tpr[nearest], abs=1e-12)


def test_eer_where_sklearns_curve_crosses_the_diagonal(case) -> None:
    scores, same = case
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    steps = np.linspace(0, 1, 2001)  # walk along each straight piece
    x = (fpr[:-1, None] * (1 - steps) + fpr[1:, None] * steps).ravel()
    y = (tpr[:-1, None] * (1 - steps) + tpr[1:, None] * steps).ravel()
    expected = x[np.argmin(np.abs(x - (1 - y)))]
    assert Scores(scores, same).roc.eer() == pytest.approx(expected, abs=1e-3)


def test_pyeer_agrees(case) -> None:
    """PyEER counts matches at or above each threshold; above the highest it stops."""
    scores, same = case
    _, fmr, fnmr = calculate_roc(scores[same].astype(float), scores[~same].astype(float))
    fmr, fnmr = np.append(fmr, 0), np.append(fnmr, 1)
    roc = Scores(scores, same).roc
    for far in FAR:
        assert roc.tar(far) == pytest.approx(np.max(1 - fnmr[fmr <= far + 1e-12]), abs=1e-12)
    assert roc.auc() == pytest.approx(calculate_roc_auc(fmr, fnmr), abs=1e-12)
    index, *_ = get_eer_values(fmr, fnmr)
    around = [value[max(index - 1, 0) : index + 2] for value in (fmr, fnmr)]
    assert min(map(np.min, around)) <= roc.eer() <= max(map(np.max, around))


def test_eer_by_hand() -> None:
    """Two of four impostors lie above one of four genuine pairs: FAR = FNMR = 1/4."""
    scores = np.array([9, 8, 7, 3, 5, 2, 1, 0], np.float32)
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    assert Scores(scores, same).roc.eer() == 0.25


def test_a_target_below_one_impostor_gives_the_pairs_above_all_impostors() -> None:
    scores = np.array([0.9, 0.5, 0.7, 0.1], np.float32)
    same = np.array([1, 1, 0, 0], bool)
    assert Scores(scores, same).roc.tar(1e-6) == 0.5


def test_as_many_impostors_are_accepted_as_the_target_says() -> None:
    """0.29 * 100 is 29, whatever floating point says."""
    roc = Roc(np.array([0, 28, 29, 30, 100]), np.array([0, 1, 2, 3, 4]), 100, 4)
    assert roc.tar(0.29) == 0.5


@pytest.mark.parametrize(("scores", "same"), [([0.1, 0.2], [1, 1]), ([0.1, np.nan], [1, 0])])
def test_what_is_no_curve(scores, same) -> None:
    with pytest.raises(ValueError, match="pairs|number"):
        Scores(np.array(scores), np.array(same, bool))


def test_histogram_counts_every_pair() -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(-1, 1, 999).astype(np.float32)
    scores[:2] = -1.0000001, 1.0000001  # a cosine may be rounded past its ends
    same = random.random(999) < 0.3
    table = Scores(scores, same).histogram()
    genuine = table["kind"] == "genuine"
    expected, edges = np.histogram(scores[same].clip(-1, 1), bins=50, range=(-1, 1))
    np.testing.assert_array_equal(table["count"][genuine], expected)
    np.testing.assert_allclose(table["score"][genuine], (edges[1:] + edges[:-1]) / 2, atol=1e-12)
    assert table["count"].sum() == 999


def test_thinning_leaves_points_out_and_moves_none() -> None:
    random = np.random.default_rng(2)
    x, y = np.sort(random.random(9000)), np.sort(random.random(9000))
    quoted = [3, 4567, 8998]
    shown = thinned(x, y, quoted)
    assert len(shown) <= 500
    assert {0, 8999, *quoted} <= set(shown.tolist())
    assert np.all(np.diff(shown) > 0)
    assert np.max(np.diff(y[shown])) < 0.01  # no visible hole
    np.testing.assert_array_equal(thinned(x[:500], y[:500], []), np.arange(500))
    assert thinned(np.array([0, 0, 1]), np.array([0, 1, 1]), []).tolist() == [0, 1, 2]  # a corner
    twice = thinned(np.repeat(x, 2), np.repeat(y, 2), [7, 9135])
    assert len(twice) <= 500
    assert {0, 6, 9134, 17_998} <= set(twice.tolist())
    assert np.all(twice % 2 == 0)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, 1e-44, 0.0])
def test_counting_of_scores_that_fit_in_no_buckets(odd: float, monkeypatch) -> None:
    """Infinite ones, and a range that is too small or none."""
    monkeypatch.setattr(_counting, "SORTED", 100)
    scores = np.zeros(1000, np.float32)
    scores[7:9] = odd
    less, at_most = _counting.counts_below(scores, np.unique(scores))
    np.testing.assert_array_equal(less, [np.sum(scores < value) for value in np.unique(scores)])
    np.testing.assert_array_equal(at_most, np.cumsum(np.unique(scores, return_counts=True)[1]))


@pytest.mark.parametrize("step", [0, 0.01])
def test_counting_in_buckets_is_exact(step: float, monkeypatch) -> None:
    """Crowded buckets, equal scores, and values at both ends of the range."""
    monkeypatch.setattr(_counting, "SORTED", 100)
    monkeypatch.setattr(_counting, "BUCKETS", 64)
    monkeypatch.setattr(_counting, "BLOCK", 1000)
    random = np.random.default_rng(0)
    scores = random.normal(size=5000)
    scores = (np.round(scores / step) * step if step else scores).astype(np.float32)
    values = np.unique(np.concatenate([random.choice(scores, 300), [scores.min(), scores.max()]]))
    less, at_most = _counting.counts_below(scores, values)
    np.testing.assert_array_equal(less, [np.sum(scores < value) for value in values])
    np.testing.assert_array_equal(at_most, [np.sum(scores <= value) for value in values])
    same = random.random(5000) < 0.3
    in_buckets = Scores(scores, same).roc
    monkeypatch.setattr(_counting, "SORTED", 10_000)
    by_sorting = Scores(scores, same).roc
    np.testing.assert_array_equal(in_buckets.false, by_sorting.false)
    np.testing.assert_array_equal(in_buckets.true, by_sorting.true)
