"""Curves over the share discarded, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols._edc import mean_height, rejection_curve


@pytest.mark.parametrize("pairs", [1200, 1205, 1215])
def test_magface_s_curve_discards_the_least_trusted_first(pairs: int) -> None:
    """A twentieth at a time, rounded down: 60, 60.25 and 60.75 of them at first."""
    trust = np.random.default_rng(0).permutation(pairs)
    scores, same = np.zeros(pairs), trust % 2 == 0
    fnmr, kept, _ = rejection_curve(scores, same, trust)
    assert sorted(trust[kept[1]]) == list(range(60, pairs))
    assert trust[kept[4]].min() == pairs // 5
    assert fnmr[0] == 1  # a genuine score that equals the threshold is missed


def test_the_mean_height_of_one_step_is_its_height() -> None:
    """However far it is from the last share discarded to x."""
    assert mean_height(np.array([[0.0]]), np.array([[0.3]]), 0.2) == pytest.approx(0.3)
