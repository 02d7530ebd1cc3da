"""Blocked scores against single ones."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import _vectors
from stages.protocols._search import closed_set, merge, search
from stages.protocols._vectors import pair_scores, positions, unit
from tests.protocols import made


@pytest.mark.parametrize("order", ["sorted", "shuffled", "sparse", "empty"])
def test_pair_scores(order: str, monkeypatch) -> None:
    monkeypatch.setattr(_vectors, "BLOCK_CELLS", 400)  # several blocks
    random = np.random.default_rng(0)
    first, second = (unit(random.normal(size=(n, 8))) for n in (70, 60))
    pairs = {"sorted": 3000, "shuffled": 3000, "sparse": 40, "empty": 0}[order]
    left = random.choice([0, 3, 4, 5, 11, 30, 31, 69], pairs)
    right = random.integers(0, 60, pairs)
    if order == "sorted":
        left.sort()
    if order == "sparse":
        left = random.integers(0, 70, pairs)
        monkeypatch.setattr(_vectors, "DENSE", 0.5)
        monkeypatch.setattr(_vectors, "PAIRS_A_BLOCK", 16)
    expected = [float(first[i].astype(float) @ second[j]) for i, j in zip(left, right, strict=True)]
    found = pair_scores(first, second, left, right)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("span", [_vectors.LOOKUP_SPAN, 10])
def test_positions(span: int, monkeypatch) -> None:
    monkeypatch.setattr(_vectors, "LOOKUP_SPAN", span)
    found = positions(np.array([40, 7, 900]), np.array([900, 8, 7, 7, 40, 1000]))
    assert found.tolist() == [2, -1, 1, 1, 0, -1]
    assert positions(np.array([], int), np.array([3])).tolist() == [-1]
    assert positions(np.array([40, 7]), np.array([-1, 7, -2])).tolist() == [-1, 1, -1]
    assert positions(np.array([2, -1]), np.array([0, -1, 2])).tolist() == [-1, 1, 0]


def test_unit_rows_and_zeros() -> None:
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], atol=1e-7)


def test_search_against_sorting(monkeypatch) -> None:
    monkeypatch.setattr(_vectors, "SEARCH_CELLS", 100)
    monkeypatch.setattr(_vectors, "FEWEST_ROWS", 1)
    random = np.random.default_rng(1)
    probes, gallery = unit(random.normal(size=(50, 6))), unit(random.normal(size=(20, 6)))
    mate = random.integers(-1, 20, 50)
    found = search(probes, gallery, mate, keep=33)
    wrong = []
    for k, line in enumerate(probes @ gallery.T):
        others = [score for j, score in enumerate(line) if j != mate[k]]
        wrong += others
        assert found.other[k] == pytest.approx(max(others), abs=1e-6)
        if mate[k] >= 0:
            place = sorted(line, reverse=True).index(line[mate[k]]) + 1
            assert found.rank[k] == place
            assert found.own[k] == pytest.approx(line[mate[k]], abs=1e-6)
        else:
            assert (found.rank[k], found.own[k]) == (0, -np.inf)
    np.testing.assert_allclose(found.highest, sorted(wrong, reverse=True)[:33], atol=1e-6)


def test_the_highest_scores_so_far_may_be_fewer_than_are_kept() -> None:
    found = [0.9]
    for scores, expected in (([[0.5, 0.8]], [0.9, 0.8, 0.5]), ([[0.6, 0.1]], [0.9, 0.8, 0.6])):
        found = merge(np.array(found), np.array(scores), 3)
        assert found.tolist() == expected


def test_a_mate_at_rank_k_is_within_it_in_each_replicate() -> None:
    rank, person = np.array([2, 2, 2]), np.arange(3)
    weights, drawn = made.RESAMPLING.weights(3), made.RESAMPLING.drawn(person)
    measures, _ = closed_set(rank, np.ones(3), person, 9, [1, 2], weights, drawn, "")
    for name, share in (("rank1", 0), ("rank2", 1)):
        assert measures[name].value == share
        assert set(measures[name].samples) == {share}


def test_a_model_that_gives_one_vector_for_all_finds_nobody() -> None:
    """Equal scores must not count as found, or a collapsed model would be perfect."""
    same = unit(np.ones((5, 4)))
    assert np.all(search(same, same, np.arange(5)).rank == 5)
