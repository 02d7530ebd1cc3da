"""VAL at a FAR over folds, against the procedure of facenet's evaluation written plainly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.stats import chi2

from stages.protocols import pairs
from stages.protocols._bootstrap import Drawn, wilson
from stages.protocols._result import measure
from stages.protocols._rows import Likelihood
from stages.protocols._val import GRID, _deviation_interval, folds_val, val_measures
from tests.goldens import golden
from tests.protocols import made


def plainly(distance, same, fold, target: float) -> tuple[list[float], list[float]]:
    """One threshold of the grid at a time; a line between the two whose FARs hold the target."""
    val, chosen = [], []
    for test in range(fold.max() + 1):
        train, tested = fold != test, fold == test
        far = [np.mean(distance[train & ~same] < 0.001 * step) for step in range(4000)]
        threshold = 0.0
        if max(far) >= target:
            last = max(step for step in range(4000) if far[step] <= target)
            threshold = 0.001 * last
            if far[last] < target:
                rise = (target - far[last]) / (far[last + 1] - far[last])
                threshold += 0.001 * rise
        chosen.append(threshold)
        val.append(np.mean(distance[tested & same] < threshold))
    return val, chosen


def made_pairs(seed: int = 0, count: int = 400, folds: int = 5):
    random = np.random.default_rng(seed)
    same = np.arange(count) % 2 == 0
    distance = np.where(same, random.normal(0.8, 0.3, count), random.normal(1.8, 0.3, count))
    return distance.clip(0, 4), same, pairs.folds_of(count, folds)


@pytest.mark.parametrize("target", [0.5, 0.05, 0.01875, 1e-3])
def test_val_equals_the_plain_procedure(target: float) -> None:
    """At 0.01875 = 3 / 160 the FAR is met on a stretch of the grid, whose end counts."""
    distance, same, fold = made_pairs()
    val, threshold = folds_val(distance[None], same, fold, target)
    expected, chosen = plainly(distance, same, fold, target)
    np.testing.assert_allclose(threshold, chosen, atol=1e-9)
    np.testing.assert_array_equal(val, expected)


def test_the_line_is_that_of_scipy_s_interpolation() -> None:
    """facenet's own call, where no two thresholds have one FAR, as it needs them."""
    same, fold = np.repeat([True, False], [20, 8000]), np.arange(8020) % 2
    distance = np.concatenate([np.linspace(0, 4, 20), np.linspace(0, 3.9999, 8000)])[None]
    train = distance[0, ~same & (fold == 1)]
    far = np.array([np.mean(train < t) for t in GRID])
    assert (np.diff(far) > 0).all()
    expected = interp1d(far, GRID, kind="slinear")(0.12345)
    assert folds_val(distance, same, fold, 0.12345)[1][0] == pytest.approx(float(expected))


def test_a_far_that_no_threshold_reaches_has_the_threshold_zero() -> None:
    distance, same, fold = np.full((1, 8), 5.0), np.arange(8) % 2 == 0, np.arange(8) // 4
    val, threshold = folds_val(distance, same, fold, 0.1)
    assert (val.tolist(), threshold.tolist()) == ([0, 0], [0, 0])


def test_exact_thresholds_are_the_highest_within_the_far() -> None:
    distance, same, fold = made_pairs(1)
    for target in (0.5, 0.05, 1e-3, 1.0):
        val, threshold = folds_val(distance[None], same, fold, target, None)
        for test in range(5):
            impostors = distance[~same & (fold != test)]
            tried = [*np.sort(impostors), np.inf]
            within = [t for t in tried if np.mean(impostors < t) <= target + 1e-12]
            assert threshold[test] == max(within)
            assert val[test] == np.mean(distance[same & (fold == test)] < max(within))


def test_distances_may_depend_on_the_fold() -> None:
    """As with `centre`: each fold has its own, also for the other folds' FAR."""
    distance, same, fold = made_pairs(2)
    shifted = np.stack([distance + 0.1 * test for test in range(5)])
    for grid in (GRID, None):
        val, threshold = folds_val(distance[None], same, fold, 0.05, grid)
        found, moved = folds_val(shifted, same, fold, 0.05, grid)
        np.testing.assert_allclose(moved, threshold + 0.1 * np.arange(5), atol=1e-3)
        if grid is None:
            np.testing.assert_array_equal(found, val)


@golden("multiface/verification*", "adaface/tenfold*")
def test_val_of_recorded_embeddings(file) -> None:
    """The recordings hold accuracies alone: VAL by the plain procedure, on their embeddings."""
    data = np.load(file)
    first, second, same = data["emb"][0::2], data["emb"][1::2], data["issame"].astype(bool)
    fold, distance = pairs.folds_of(len(same), 10), pairs.squared_distance(first, second)
    for target in (0.1, 0.01, 1e-3):
        val, threshold = folds_val(distance[None], same, fold, target)
        expected, chosen = plainly(distance, same, fold, target)
        np.testing.assert_allclose(threshold, chosen, atol=1e-9)
        np.testing.assert_array_equal(val, expected)


def at_far(value: float = 0.9):
    drawn = Drawn(30, "bootstrap over 30 people", "key")
    samples = np.random.default_rng(0).normal(value, 0.02, 500)
    return measure(value, samples, 200, drawn)


def test_mean_and_population_deviation_over_folds() -> None:
    distance, same, fold = made_pairs(3)
    for exact, names in ((False, ["val@far=5e-2", "val_std@far=5e-2"]),
                         (True, ["val_exact@far=5e-2", "val_exact_std@far=5e-2"])):  # fmt: skip
        val, _ = folds_val(distance[None], same, fold, 0.05, None if exact else GRID)
        name = names[0].partition("@")[0]
        found = val_measures(distance[None], same, fold, 0.05, at_far(), 60, exact, name)
        assert list(found) == names
        value, spread = found.values()
        assert value.value == pytest.approx(sum(val) / 5)
        assert spread.value == pytest.approx(np.sqrt(sum((v - sum(val) / 5) ** 2 for v in val) / 5))
        assert value.count == spread.count == 200
        assert value.low < value.value < value.high
        assert spread.low < spread.value < spread.high
        assert (value.drawn, spread.drawn.folds) == (at_far().drawn, True)
        assert "mean of 5 folds" in value.method


def test_interval_of_a_deviation() -> None:
    """Chi-squared's, within a hundredth; and for folds that are all alike that of the pairs."""
    low, high = _deviation_interval(0.02, 10, 0.5, 1e9)
    assert low == pytest.approx(0.02 * np.sqrt(9 / chi2.ppf(0.975, 9)), rel=0.01)
    assert high == pytest.approx(0.02 * np.sqrt(9 / chi2.ppf(0.025, 9)), rel=0.01)
    low, high = _deviation_interval(0.0, 10, 0.96, 300)
    assert (low, high) == (0, pytest.approx(np.sqrt(0.96 * 0.04 / 300)))
    assert _deviation_interval(0.4, 2, 0.5, 10)[1] == 0.5


def test_perfect_folds_are_marked_and_their_interval_is_wilson_s() -> None:
    same, fold = np.arange(200) % 2 == 0, pairs.folds_of(200, 10)
    distance = np.where(same, 0.1, 2.0)[None]
    value, spread = val_measures(distance, same, fold, 0.05, at_far(1.0), 60, False).values()
    assert (value.value, value.low) == (1, pytest.approx(wilson(60, 60)[0]))
    assert (spread.value, spread.low) == (0, 0)
    assert spread.high == pytest.approx(np.sqrt(value.low * (1 - value.low) / 10))
    none = val_measures(1 + distance[:, ::-1], same, fold, 1e-3, at_far(0.0), 60, False).values()
    assert [m.value for m in none] == [0, 0]
    assert all(m.high > 0.01 for m in none)
    assert all("fewer than 10 errors" in m.method for m in (value, spread))


# the protocol


def pack(count: int = 600):
    """60 people of 20 images; every pair of images 2k, 2k + 1, in turn genuine and impostor."""
    random = np.random.default_rng(5)
    person = np.repeat(np.arange(60), 20)
    vectors = made.faces(random, person, 1.0)
    first = random.integers(0, 1200, count)
    same = np.arange(count) % 2 == 0
    second = np.where(same, (first // 20) * 20 + (first + 1) % 20, (first + 20) % 1200)
    listed = made.tables(pairs={"first": first, "second": second, "same": same})
    return vectors, first, second, same, listed


def test_all_pairs_by_one_threshold_and_folds_by_those_of_the_others() -> None:
    vectors, first, second, same, listed = pack()
    rows = made.rows({"trunk/embedding": vectors})
    params = pairs.Params(flip=False, far=[0.1, 0.01, 1e-3, 1e-4], val=[0.05, 1e-4])
    result = pairs.evaluate(rows, listed, made.index(1200), params, made.RESAMPLING)["112&112"]
    found = {name: m.value for name, m in result.measures.items()}
    names = ["val@far=5e-2", "val_std@far=5e-2", "val@far=1e-4", "val_std@far=1e-4"]
    assert list(found) == ["accuracy", "auc", "eer", "tar@far=1e-1", "tar@far=1e-2", *names]
    score = np.array([made.cosines(vectors[[a]], vectors[[b]])[0, 0]
                      for a, b in zip(first, second, strict=True)])  # fmt: skip
    genuine, impostor = score[same], score[~same]
    auc = np.mean(genuine[:, None] > impostor)
    assert found["auc"] == pytest.approx(auc, abs=1e-6)
    for far, allowed in ((0.1, 30), (0.01, 3)):
        threshold = np.sort(impostor)[::-1][allowed]
        expected = np.mean(genuine > threshold)
        assert found[f"tar@far={far:.0e}".replace("-0", "-")] == pytest.approx(expected)
    eer = min((abs(np.mean(impostor >= t) - np.mean(genuine < t)), np.mean(impostor >= t))
              for t in score)[1]  # fmt: skip
    assert found["eer"] == pytest.approx(eer, abs=0.005)
    for far, name in ((0.05, "5e-2"), (1e-4, "1e-4")):  # the second less than one impostor pair
        val, _ = plainly(2 - 2 * score, same, pairs.folds_of(600, 10), far)
        assert found[f"val@far={name}"] == pytest.approx(np.mean(val))
        assert found[f"val_std@far={name}"] == pytest.approx(np.std(val))
    few = result.measures["val@far=1e-4"]
    assert "less than one impostor pair" in few.method
    assert "fewer than 10 errors" in few.method
    assert "people that genuine pairs link" in result.measures["auc"].method
    assert all(m.low <= m.value <= m.high for m in result.measures.values())


def test_exact_thresholds_have_a_name_of_their_own() -> None:
    vectors, *_, listed = pack()
    rows = made.rows({"trunk/embedding": vectors})
    params = pairs.Params(flip=False, far=[], val=[0.05], val_threshold="exact")
    result = pairs.evaluate(rows, listed, made.index(1200), params, made.RESAMPLING)["112&112"]
    names = ["accuracy", "auc", "eer", "val_exact@far=5e-2", "val_exact_std@far=5e-2"]
    assert list(result.measures) == names


def test_centred_vectors_are_centred_for_all_measures() -> None:
    """A common offset that hides the faces: without `centre` the AUC is lower."""
    vectors, _, _, _, listed = pack()
    offset = 20 * np.ones(16, np.float32)
    found = {}
    for centre in (False, True):
        for distance in ("euclidean", "angle"):
            rows = made.rows({"trunk/embedding": vectors + offset})
            params = pairs.Params(flip=False, centre=centre, distance=distance)
            results = pairs.evaluate(rows, listed, made.index(1200), params, made.RESAMPLING)
            found[centre, distance] = results["112&112"].measures["auc"].value
    plain = pairs.evaluate(made.rows({"trunk/embedding": vectors}), listed, made.index(1200),
                           pairs.Params(flip=False), made.RESAMPLING)  # fmt: skip
    expected = plain["112&112"].measures["auc"].value
    assert found[True, "euclidean"] == pytest.approx(expected, abs=0.01)
    assert found[True, "angle"] == pytest.approx(found[True, "euclidean"], abs=1e-4)
    assert found[False, "euclidean"] == found[False, "angle"] < expected - 0.02


def test_val_of_likelihood_scores_is_that_of_exact_thresholds() -> None:
    """Scores far from the grid of distances; they have the names that the other rows have."""
    vectors, first, second, same, listed = pack()
    values = (1e4 * pairs.cosine(vectors[first], vectors[second]) - 3e5).astype(np.float32)
    likelihood = Likelihood("trunk", "kappa", "kappa", lambda mu, kappa: lambda i, j: values)
    arrays = {"trunk/embedding": vectors, "trunk/kappa": np.ones(1200)}
    rows = made.rows(arrays, likelihoods={"likelihood head": likelihood})
    params = pairs.Params(flip=False, val=[0.05])
    results = pairs.evaluate(rows, listed, made.index(1200), params, made.RESAMPLING)
    measures = results["likelihood head"].measures
    assert list(measures) == list(results["112&112"].measures)
    fold = pairs.folds_of(600, 10)
    expected, _ = folds_val(-values.astype(float)[None], same, fold, 0.05, None)
    assert measures["val@far=5e-2"].value == pytest.approx(np.mean(expected))
    assert "exact" in measures["val@far=5e-2"].method
