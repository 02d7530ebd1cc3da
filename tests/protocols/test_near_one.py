"""Intervals of AUC and EER near 1 and 0: Wilson's equation, limits, and small steps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from stages.protocols._bootstrap import Resampling, standard_error, t95, wilson
from stages.protocols._near_one import people_interval, separation_width, unseen_weight
from stages.protocols._result import ordering
from stages.protocols._verification import verification

RESAMPLING = Resampling(replicates=200)
PEOPLE, IMAGES = 20, 4
PERSON = np.repeat(np.arange(PEOPLE), IMAGES)
LEFT, RIGHT = np.triu_indices(len(PERSON), 1)
SAME = PERSON[LEFT] == PERSON[RIGHT]


def replicates(value: float, error: float, number: int) -> np.ndarray:
    """Two whose standard error this is."""
    half = error / np.sqrt(number / (number - 1))
    return np.array([value - half, value + half])


def solved(share: float, unit: float, z: float, sign: int) -> float:
    """The share p that is z standard errors away: (p - share)^2 = z^2 p (1 - p) unit."""

    def beyond(p: float) -> float:
        return (p - share) ** 2 - z * z * p * (1 - p) * unit

    return optimize.brentq(beyond, share, 1) if sign > 0 else optimize.brentq(beyond, 0, share)


def naive(value: float, error: float, number: int, people: int, misordered: float, errors: float):
    """By the definition, near 1 and near 0 written out one after the other."""
    own = error * error / (value * (1 - value))
    with_errors = (value * (1 - value) / error) ** 2
    k = 1 / (1 / with_errors + 10 / misordered + 3 / (10 * errors))
    weight, t = np.exp(-k / 3), t95(number - 1)
    size = min(own * people, 1)
    ends = []
    for sign, towards in ((-1, value), (1, 1 - value)):
        near, far = weight * towards, weight * (1 - towards)
        unit = own * (1 + 6 * far * size**4)
        if own < 1 / people:
            unit += near * (1 / people - own)
        part = weight**0.25
        z = (1 - part) * t + part * (1.959964 * towards + 1.644854 * (1 - towards))
        ends.append(solved(value, unit, z, sign))
    return ends


@pytest.mark.parametrize("value", [0.999, 0.9, 0.5, 0.03])
@pytest.mark.parametrize("misordered", [2.0, 400.0])
@pytest.mark.parametrize("size", [0.02, 0.6, 1.5])
@pytest.mark.parametrize("errors", [0.7, 20.0])
def test_ends_solve_wilson_s_equation(
    value: float, misordered: float, size: float, errors: float
) -> None:
    """Units of a fiftieth of a person up to more than a whole one."""
    error = np.sqrt(size / 30 * value * (1 - value))
    told = 25, 30, misordered, errors
    found = people_interval(value, replicates(value, error, 25), *told)
    assert found == pytest.approx(naive(value, error, *told), rel=1e-5, abs=1e-9)


def test_errors_of_many_people_have_wilson_s_interval_of_their_effective_count() -> None:
    """A share of 0.8 with an error of 0.01 from 2,000 people: 1,600 trials, and z for a large t."""
    samples = replicates(0.8, 0.01, 2000)
    found = people_interval(0.8, samples, 2000, 2000, 1e9)
    assert found == pytest.approx(wilson(0.8 * 1600, 1600), abs=1e-4)
    assert unseen_weight(0.8, 0.01, 1e9) < 1e-9


@pytest.mark.parametrize("people", [1, 20, 128, 5749])
def test_without_an_error_people_are_the_trials(people: int) -> None:
    """Whatever was redrawn: groups of people, or nobody."""
    for samples, number in ((np.ones(9), people), (np.ones(9), 8), (np.full(9, np.nan), 1)):
        low, high = people_interval(1.0, samples, number, people, 0)
        assert (low, high) == (pytest.approx(people / (people + 1.959964**2)), 1)
        assert separation_width(people) == pytest.approx(high - low)
        low, high = people_interval(0.0, 1 - samples, number, people, 0)
        assert (low, high) == (0, pytest.approx(separation_width(people)))


def test_replicates_that_tell_nothing_leave_the_people() -> None:
    """No narrower than Wilson's of as many trials as people."""
    for samples, number in ((np.full(9, 0.9), 20), (np.full(9, np.nan), 20), (np.ones(9), 1)):
        low, high = people_interval(0.9, samples, number, 20, 1000)
        assert low <= wilson(18, 20)[0]
        assert wilson(18, 20)[1] <= high <= 1


@pytest.mark.parametrize("value", [0.7, 0.9, 0.997])
def test_the_mirror_image_has_the_mirrored_interval(value: float) -> None:
    """An AUC near 1, and an EER near 0 of the same error."""
    error = 0.6 * (1 - value)
    low, high = people_interval(value, replicates(value, error, 20), 20, 20, 50)
    other = people_interval(1 - value, replicates(1 - value, error, 20), 20, 20, 50)
    assert other == (pytest.approx(1 - high), pytest.approx(1 - low))
    assert low < value < high


def test_the_weight_of_unseen_people_by_hand() -> None:
    """One of 20 people makes all errors: k is about 1, and 10 of its misordered pairs halve it."""
    value, error = 0.99, 0.0099
    assert unseen_weight(value, error, np.inf) == pytest.approx(np.exp(-1 / 3))
    assert unseen_weight(value, error, 10) == pytest.approx(np.exp(-0.5 / 3))
    assert unseen_weight(value, error, np.inf, 0.3) == pytest.approx(np.exp(-0.5 / 3))
    for nothing in ((1.0, 0.0, 0.0), (0.9, 0.0, 5.0), (0.0, 0.1, 5.0)):
        assert unseen_weight(*nothing) == 1


def separated(random: np.random.Generator) -> np.ndarray:
    """Scores of all pairs, every genuine one above every impostor one."""
    scores = random.normal(size=len(SAME)) * 0.1
    scores[SAME] += 3
    return scores.astype(np.float32)


def measures(scores: np.ndarray):
    people = RESAMPLING.pairs(PERSON, LEFT, RIGHT, SAME)
    return verification(scores, SAME, people, [], "at_most", RESAMPLING).measures


def test_one_more_misordered_pair_moves_an_interval_little() -> None:
    """One person's genuine scores go down, past one impostor score after the other: each step moves
    the ends by less than a tenth of the width at complete separation, and 60 steps by more."""
    scores = separated(np.random.default_rng(0))
    impostors = np.sort(scores[~SAME])[::-1]
    mine = np.flatnonzero(SAME & (PERSON[LEFT] == 3))[:2]
    steps = []
    for passed in range(60):
        one, two = divmod(passed, 2)  # two scores take turns
        for pair, number in zip(mine, (one + two, one), strict=True):
            beside = impostors[max(number - 1, 0) : number + 1]
            scores[pair] = beside.mean() if number else impostors[0] + 0.01
        found = measures(scores)
        assert found["auc"].value == pytest.approx(1 - passed / (np.sum(SAME) * np.sum(~SAME)))
        steps.append([(found[m].low, found[m].high) for m in ("auc", "eer")])
    width, steps = separation_width(PEOPLE), np.array(steps)
    assert steps[0] == pytest.approx(np.array([[1 - width, 1], [0, width]]))
    moved = np.abs(np.diff(steps, axis=0))
    assert moved.max() < width / 10
    assert steps[-1, 0, 0] - steps[0, 0, 0] > width / 10


@pytest.mark.parametrize("distance", [1.2, 1.6, 2.0, 2.6])
def test_scores_that_differ_little_have_intervals_that_differ_little(distance: float) -> None:
    """Two poolings of the same images, whose scores differ by a fiftieth of their deviation."""
    random = np.random.default_rng(1)
    scores = 0.4 * random.normal(size=len(SAME)) + distance * SAME
    other = scores + 0.008 * random.normal(size=len(SAME))
    one, two = (measures(x.astype(np.float32)) for x in (scores, other))
    for metric in ("auc", "eer"):
        a, b = one[metric], two[metric]
        width = max(a.high - a.low, b.high - b.low)
        assert abs(a.low - b.low) + abs(a.high - b.high) < width / 5, metric


def test_complete_separation_is_one_sided_and_states_its_width() -> None:
    found = measures(separated(np.random.default_rng(0)))
    for metric, ends in (("auc", (20 / (20 + 1.959964**2), 1)), ("eer", (0, 3.841459 / 23.841459))):
        one = found[metric]
        assert (one.low, one.high) == pytest.approx(ends)
        assert "complete separation, one-sided, 16.11 points wide, from 20 people" in one.method
        assert "fewer than 10 errors" in one.method


def test_people_are_counted_not_their_groups() -> None:
    """200 people in 128 groups; without an error they are 200 trials."""
    person = np.repeat(np.arange(200), 2)
    left, right = np.triu_indices(400, 1)
    same = person[left] == person[right]
    people = Resampling(20).pairs(person, left, right, same)
    scores = same.astype(np.float32)
    found = verification(scores, same, people, [], "at_most", Resampling(20)).measures["auc"]
    assert found.drawn.number == 128
    assert (found.low, found.high) == (pytest.approx(200 / (200 + 1.959964**2)), 1)


@pytest.mark.parametrize("blocks", [5, 1 << 22])
def test_the_fewer_people_of_both_kinds_of_pairs_count(blocks: int, monkeypatch) -> None:
    """Three people make genuine pairs and seven impostor pairs, and the other way round."""
    monkeypatch.setattr("stages.protocols._bootstrap.BLOCK", blocks)
    person = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 0])
    own = [(0, 1), (2, 3), (4, 5), (1, 10)]
    others = [(0, 6), (7, 2), (4, 8), (9, 0)]
    listed = np.array(own + others).T
    same = np.arange(len(own + others)) < len(own)
    assert RESAMPLING.pairs(person, *listed, same).people == 3
    listed = np.array([*own, (10, 2), (3, 0)]).T
    same = np.arange(len(own) + 2) < len(own)
    assert RESAMPLING.pairs(person, *listed, same).people == 2


def test_an_auc_of_fewer_than_ten_misordered_pairs_is_marked() -> None:
    drawn, samples = RESAMPLING.drawn(np.arange(20)), np.linspace(0.97, 1, 9)
    for misordered, marked in ((9.5, True), (10, False)):
        found = ordering(0.99, samples, 500, drawn, 20, misordered)
        assert found.method.endswith("; fewer than 10 errors") == marked
        assert "Wilson with the effective count of people" in found.method
        assert (found.low, found.high) == people_interval(0.99, samples, 20, 20, misordered)
    assert "fewer" in ordering(0.01, samples, 500, drawn, 20, 50, errors=3).method


def test_replicates_of_one_person_have_no_auc_and_do_not_count() -> None:
    """Three people: a ninth of the replicates draw one of them alone: no impostor pair."""
    person = np.repeat(np.arange(3), 3)
    left, right = np.triu_indices(9, 1)
    same = person[left] == person[right]
    people = RESAMPLING.pairs(person, left, right, same)
    scores = np.random.default_rng(0).normal(size=36).astype(np.float32)
    alone = np.any(RESAMPLING.weights(3) == 3, axis=1)
    assert 0 < alone.sum() < 200
    found = verification(scores, same, people, [], "at_most", RESAMPLING).measures
    for metric in ("auc", "eer"):
        np.testing.assert_array_equal(np.isnan(found[metric].samples), alone)
        kept = found[metric].samples[~alone]
        assert standard_error(found[metric].samples, 3) == pytest.approx(kept.std() * 1.5**0.5)
