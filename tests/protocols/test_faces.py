"""The hardest pairs and the failing people, by sorting."""

from __future__ import annotations

import numpy as np

from stages.protocols._faces import Items, faces
from stages.protocols._roc import Scores


def made(seed: int, count: int = 400):
    random = np.random.default_rng(seed)
    same = np.arange(count) < 120
    scores = (random.normal(size=count) * 0.3 + same).astype(np.float32)
    left, right = random.integers(0, 50, (2, count))
    return scores, same, Items(left, right, random.permutation(50)), np.arange(120) // 6


def test_the_hardest_pairs_of_each_kind() -> None:
    scores, same, items, person = made(0)
    found = faces(Scores(scores, same), items, person)["hardest"]
    genuine = [k for k in np.argsort(scores) if same[k]][:6]
    impostor = [k for k in np.argsort(-scores) if not same[k]][:6]
    chosen = [*genuine, *impostor]
    assert found["kind"].tolist() == ["genuine"] * 6 + ["impostor"] * 6
    np.testing.assert_array_equal(found["score"], scores[chosen])
    np.testing.assert_array_equal(found["first"], items.image[items.left[chosen]])
    np.testing.assert_array_equal(found["second"], items.image[items.right[chosen]])


def test_people_by_the_share_of_their_pairs_that_is_missed_at_far_one_percent() -> None:
    scores, same, items, person = made(1)
    scores[:6] = [-3, -2, -1, 0.1, 0.2, 0.3]  # person 0 fails most
    found = faces(Scores(scores, same), items, person)["failures"]
    limit = np.sort(scores[~same])[::-1][2]  # two of 280 are accepted
    missed = [np.sum(scores[:120][person == k] <= limit) for k in range(20)]
    assert found["person"][0] == 0
    assert found["missed"].tolist() == sorted(missed, reverse=True)[: len(found["missed"])]
    assert set(found["pairs"]) == {6}
    assert found["image"][0] == items.image[items.left[0]]


def test_few_pairs_and_no_failure() -> None:
    scores = np.array([0.9, 0.8, 0.1], np.float32)
    items = Items(np.array([0, 1, 0]), np.array([1, 0, 2]), np.array([5, 6, -1]))
    found = faces(Scores(scores, np.array([True, True, False])), items, np.array([3, 3]))
    assert found["hardest"]["second"].tolist() == [5, 6, -1]
    assert found["failures"]["person"].tolist() == []
