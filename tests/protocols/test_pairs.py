"""Ten-fold accuracy against the procedure written plainly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import pairs
from stages.protocols._bootstrap import count_of_folds, wilson
from stages.protocols._rows import Likelihood
from tests.protocols import made


def test_a_fold_of_one_kind_is_refused() -> None:
    """A list of sets of other sizes than the folds: accuracy would fall below chance."""
    random = np.random.default_rng(0)
    same = np.repeat([True, False, True, False], 10)
    embedding = random.normal(size=(80, 4)).astype(np.float32)
    rows = made.rows({"trunk/embedding": embedding}, settings={"112&112": ("trunk", "trunk")})
    listed = {"first": np.arange(0, 80, 2), "second": np.arange(1, 80, 2), "same": same}
    tables = made.tables(pairs=listed)
    params = pairs.Params(flip=False, folds=4)
    with pytest.raises(InputError, match=r"fold 1 of 4 has pairs of one kind.*set `folds`"):
        pairs.evaluate(rows, tables, made.index(80), params, made.RESAMPLING)
    params = pairs.Params(flip=False, folds=2)
    assert pairs.evaluate(rows, tables, made.index(80), params, made.RESAMPLING)


def plainly(first, second, same, folds: int = 10, centre: bool = False, angle: bool = False):
    """Accuracy and threshold of each fold, one threshold and one pair at a time."""
    parts = np.array_split(np.arange(len(same)), folds)
    accuracy, chosen = [], []
    for test in parts:
        train = np.setdiff1d(np.arange(len(same)), test)
        mean = np.concatenate([first[train], second[train]]).mean(axis=0) if centre else 0
        x, y = first - mean, second - mean
        x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
        distance = ((x - y) ** 2).sum(axis=1)
        if angle:
            distance = np.arccos(1 - distance / 2) / np.pi
        best, best_threshold = -1, None
        for threshold in np.arange(0, 4, 0.01):
            right = np.mean((distance[train] < threshold) == same[train])
            if right > best:
                best, best_threshold = right, threshold
        accuracy.append(np.mean((distance[test] < best_threshold) == same[test]))
        chosen.append(best_threshold)
    return np.array(accuracy), np.array(chosen)


@pytest.fixture
def pack():
    """203 pairs of 16 dimensions: first, second, same; the folds are not all of one size."""
    random = np.random.default_rng(4)
    same = random.random(203) < 0.5
    first = random.normal(size=(203, 16)) + 0.5
    second = random.normal(size=(203, 16)) + 0.5
    second[same] += 0.7 * first[same]
    return first.astype(np.float32), second.astype(np.float32), same


@pytest.mark.parametrize("options", [{}, {"centre": True}, {"distance": "angle"},
                                     {"centre": True, "distance": "angle"}])  # fmt: skip
def test_folds_equal_the_plain_procedure(pack, options) -> None:
    first, second, same = pack
    fold = pairs.folds_of(len(same), 10)
    params = pairs.Params(**options)
    accuracy, threshold = pairs.folds_accuracy(
        pairs.distances(first, second, fold, params), same, fold
    )
    expected, chosen = plainly(
        first.astype(float), second.astype(float), same,
        centre=params.centre, angle=params.distance == "angle",
    )  # fmt: skip
    np.testing.assert_array_equal(accuracy, expected)
    np.testing.assert_array_equal(threshold, chosen)


def test_a_distance_on_a_threshold_is_not_below_it() -> None:
    distance = np.array([[0.0, pairs.THRESHOLDS[35], 1.0, 1.0]])
    same, fold = np.array([True, True, False, False]), np.array([0, 1, 0, 1])
    accuracy, threshold = pairs.folds_accuracy(distance, same, fold)
    np.testing.assert_array_equal(threshold, pairs.THRESHOLDS[[36, 1]])
    np.testing.assert_array_equal(accuracy, [1, 0.5])


def test_folds_are_contiguous_and_the_first_are_larger() -> None:
    assert np.bincount(pairs.folds_of(23, 10)).tolist() == [3, 3, 3] + [2] * 7
    assert np.all(np.diff(pairs.folds_of(23, 10)) >= 0)


def as_set(first, second, same, order=None):
    """The pack as features and lists; images in the shuffled order of `order`."""
    count = len(same)
    vectors = np.concatenate([first, second])
    order = np.arange(2 * count) if order is None else order
    arrays = {"trunk/embedding": 0.25 * vectors[order], "trunk/mirrored": 0.75 * vectors[order]}
    listed = made.tables(
        pairs={"first": np.arange(count), "second": np.arange(count) + count, "same": same}
    )
    return made.rows(arrays), listed, made.index(len(order), record=order)


def test_rows_follow_the_record_and_add_the_mirror_image(pack) -> None:
    first, second, same = pack
    order = np.random.default_rng(0).permutation(2 * len(same))
    result = pairs.evaluate(*as_set(*pack, order), pairs.Params(), made.RESAMPLING)
    accuracy = result["112&112"].measures["accuracy"]
    assert accuracy.value == pytest.approx(np.mean(plainly(first, second, same)[0]))
    assert accuracy.count == 203
    assert accuracy.low < accuracy.value < accuracy.high
    assert "left out" not in accuracy.method
    assert {"roc", "det", "scores", "hardest"} < set(result["112&112"].curves)


def test_the_first_side_is_seen_at_r1_the_second_at_r2(pack) -> None:
    first, second, same = pack
    rows, listed, index = as_set(*pack)
    noise = np.random.default_rng(1).normal(size=(406, 16)).astype(np.float32)
    arrays = {"trunk": np.concatenate([first, second])}
    arrays["branch_7"] = arrays["trunk"] + noise
    rows = made.rows({f"{model}/embedding": values for model, values in arrays.items()},
                     settings={"112&7": ("trunk", "branch_7")})  # fmt: skip
    found = pairs.evaluate(rows, listed, index, pairs.Params(flip=False), made.RESAMPLING)["112&7"]
    right = arrays["branch_7"][203:]
    expected = np.mean(plainly(first.astype(float), right.astype(float), same)[0])
    assert found.measures["accuracy"].value == pytest.approx(expected)
    hardest = np.sort(np.diag(made.cosines(first, right))[same])[:6]
    np.testing.assert_allclose(found.curves["hardest"]["score"][:6], hardest, atol=1e-6)


def test_pairs_without_an_image_are_left_out_and_counted(pack) -> None:
    """The rest stay in the folds of the whole list."""
    first, second, same = pack
    gone = [0, 5, 203 + 5, 203 + 100]  # images of pairs 0, 5 and 100
    order = np.setdiff1d(np.arange(406), gone)
    result = pairs.evaluate(*as_set(*pack, order), pairs.Params(), made.RESAMPLING)
    accuracy = result["112&112"].measures["accuracy"]
    kept = np.setdiff1d(np.arange(203), [0, 5, 100])
    fold = pairs.folds_of(203, 10)[kept]
    distance = pairs.squared_distance(first[kept], second[kept])[None]
    assert accuracy.value == np.mean(pairs.folds_accuracy(distance, same[kept], fold)[0])
    assert accuracy.count == 200
    assert "3 of 203 pairs left out" in accuracy.method
    whole = pairs.evaluate(*as_set(*pack), pairs.Params(), made.RESAMPLING)["112&112"]
    assert accuracy.drawn.key != whole.measures["accuracy"].drawn.key  # folds of other pairs


def test_an_empty_fold_is_an_error(pack) -> None:
    with pytest.raises(InputError, match=r"pairs.parquet: 3 of 203 .* Remedy"):
        pairs.evaluate(*as_set(*pack, np.array([0, 1, 2, 203, 204, 205])), pairs.Params(),
                       made.RESAMPLING)  # fmt: skip


def test_effective_pairs_between_people_and_pairs() -> None:
    """40 people of 10 pairs, half of them genuine: 40 if people are all that matters, up to 400."""
    random = np.random.default_rng(0)
    left, same = np.repeat(np.arange(40), 10), np.repeat(np.arange(40) % 2 == 0, 10)
    fold, alone = np.repeat(np.arange(10), 40), np.arange(400) + 40
    own, noise = random.normal(size=40)[left], random.normal(size=400)
    for distance in (own[None], np.tile(own, (10, 1))):  # one, or one a test fold
        effective = pairs.effective_pairs(distance, same, fold, left, alone)
        assert effective == pytest.approx(40)
    assert pairs.effective_pairs(own[None], same, fold, alone, left) == pytest.approx(40)
    assert 200 < pairs.effective_pairs(noise[None], same, fold, left, alone) <= 400
    assert pairs.effective_pairs(own[None], same, fold, alone, alone) == pytest.approx(400)
    every = np.ones(400, bool)
    assert pairs.effective_pairs(own[None], every, fold, left, alone) == pytest.approx(40)


@pytest.mark.parametrize("genuine", [True, False])
def test_effective_pairs_by_the_hardest_tenth_of_each_fold(genuine: bool) -> None:
    """All ten hard pairs are one person's: ten people. The easy ones are of ten people."""
    person, turn = np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10)
    ease = 1.0 * turn
    hard = np.where(person == 0, -1, ease)
    sign = -1 if genuine else 1  # genuine pairs are hard where the distance is large
    same, alone = np.full(100, genuine), np.arange(100)
    found = pairs.effective_pairs(sign * hard[None], same, turn, person, alone)
    assert found == pytest.approx(10)
    of_folds = np.where(turn == np.arange(10)[:, None], hard, ease)  # seen where a fold is tested
    found = pairs.effective_pairs(sign * of_folds, same, turn, person, alone)
    assert found == pytest.approx(10)


@pytest.mark.parametrize("sides", [("first", "second"), ("second", "first")])
def test_the_interval_rests_on_the_fewer_people_of_either_side(sides) -> None:
    """20 genuine pairs of as many people, worth 20; 20 impostor pairs with one image, worth one."""
    one, other = np.tile(np.arange(1, 21), 2), np.append(np.arange(21, 41), np.zeros(20, int))
    order = np.arange(40).reshape(2, 20).T.reshape(-1)  # both kinds in turn
    vectors = np.eye(21, dtype=np.float32)[[0, *range(1, 21), *range(1, 21)]]
    columns = dict(zip(sides, (one[order], other[order]), strict=True))
    listed = made.tables(pairs=columns | {"same": order < 20})
    rows, params = made.rows({"trunk/embedding": vectors}), pairs.Params(flip=False, folds=2)
    results = pairs.evaluate(rows, listed, made.index(41), params, made.RESAMPLING)
    effective = 1 / (0.5**2 / 20 + 0.5**2 / 1)
    measured = results["112&112"].measures["accuracy"]
    assert (measured.value, measured.low) == (1, pytest.approx(wilson(effective, effective)[0]))


def test_the_cosine_with_a_vector_of_zeros_is_zero() -> None:
    assert pairs.cosine(np.zeros((1, 2)), np.ones((1, 2))).tolist() == [0]


def test_fewer_than_ten_errors_a_fold_take_the_smaller_effective_count() -> None:
    fold, accuracy = pairs.folds_of(1000, 10), np.array([0.95, 0.97] * 5)
    low, high = wilson(0.96 * 50, 50)
    measured = pairs._accuracy(accuracy, fold, 50, "")
    assert (measured.low, measured.high) == (pytest.approx(low), pytest.approx(high))
    assert "effective" in measured.method
    count = count_of_folds(accuracy)
    measured = pairs._accuracy(accuracy, fold, 10 * count, "")
    assert measured.low == pytest.approx(wilson(0.96 * count, count)[0])
    ordinary = pairs._accuracy(accuracy - 0.1, fold, 50, "")
    assert (ordinary.low, ordinary.high) == pytest.approx(wilson(860, 1000))
    assert "wider" in ordinary.method


def test_few_errors_are_marked() -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=(60, 32)).astype(np.float32)
    same = np.arange(60) % 2 == 0
    second = np.where(same[:, None], first, -first) + 0.01 * random.normal(size=first.shape)
    result = pairs.evaluate(*as_set(first, second, same), pairs.Params(), made.RESAMPLING)
    accuracy = result["112&112"].measures["accuracy"]
    assert accuracy.value == 1
    assert "fewer than 10 errors" in accuracy.method
    assert accuracy.low < 1  # ten perfect folds prove no perfect model


def test_a_likelihood_s_threshold_is_any_score_of_the_list(pack) -> None:
    """Scores far from the grid of distances; the accuracy is that of trying all of them."""
    first, second, same = pack
    rows, listed, index = as_set(*pack)
    values = (1e4 * pairs.cosine(first, second) - 3e5).astype(np.float32)
    likelihood = Likelihood("head", "kappa", "kappa", lambda mu, kappa: lambda i, j: values[i])
    rows = replace(rows, likelihoods={"likelihood head": likelihood})
    arrays = rows.read
    rows = replace(rows, read=lambda m, n: np.ones(1) if m == "head" else arrays(m, n))
    result = pairs.evaluate(rows, listed, index, pairs.Params(), made.RESAMPLING)
    fold, expected = pairs.folds_of(len(same), 10), []
    for test in range(10):
        tried = [
            (np.mean((values >= t) == same, where=fold != test), -i, t)
            for i, t in enumerate(np.sort(values)[::-1])
        ]
        best = max(tried)[2]
        expected.append(np.mean((values >= best) == same, where=fold == test))
    measured = result["likelihood head"].measures["accuracy"]
    assert measured.value == pytest.approx(np.mean(expected), abs=0.02)
    assert measured.value > 0.6
    assert "scores" not in result["likelihood head"].curves


def test_a_likelihood_s_threshold_may_accept_all_pairs() -> None:
    """In each fold the highest score is an impostor's: three of four are right at best."""
    same = np.array([False, True, True, True] * 2)
    values = np.array([4, 3, 2, 1] * 2, np.float32)
    likelihood = Likelihood("trunk", "kappa", "kappa", lambda mu, kappa: lambda i, j: values)
    arrays = {"trunk/embedding": np.eye(16, dtype=np.float32), "trunk/kappa": np.ones(16)}
    rows = made.rows(arrays, settings={}, likelihoods={"likelihood head": likelihood})
    listed = made.tables(pairs={"first": np.arange(8), "second": np.arange(8, 16), "same": same})
    params = pairs.Params(flip=False, folds=2)
    results = pairs.evaluate(rows, listed, made.index(16), params, made.RESAMPLING)
    assert results["likelihood head"].measures["accuracy"].value == 0.75
