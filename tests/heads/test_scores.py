"""Scores of listed pairs: block by block, as pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from stages.heads import _scores
from stages.heads._scores import Gaussian, VonMises


@pytest.fixture
def made() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    mu = random.normal(size=(20, 6)).astype(np.float32)
    return mu, random.uniform(1, 900, 20), random.uniform(0.1, 1, (20, 6))


def test_blocks_change_nothing(made, monkeypatch) -> None:
    mu, kappa, sigma2 = made
    left, right = np.random.default_rng(1).integers(0, 20, (2, 100))
    for score in (VonMises(mu, kappa), Gaussian(mu, sigma2)):
        whole = score(left, right)
        assert whole.dtype == np.float32
        with monkeypatch.context() as patch:
            patch.setattr(_scores, "CELLS_A_BLOCK", 7 * 6)
            np.testing.assert_array_equal(score(left, right), whole)
        np.testing.assert_allclose(score(right, left), whole, rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(score(left[3:4], right[3:4]), whole[3:4])
        assert score(left[:0], right[:0]).shape == (0,)


def test_lengths_of_the_vectors_do_not_matter(made) -> None:
    mu, kappa, _ = made
    rows = np.arange(19)
    scores = [VonMises(factor * mu, kappa)(rows, rows + 1) for factor in (1, 40)]
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-3)
