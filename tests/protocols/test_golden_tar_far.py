"""TAR at a FAR of insightface, BTNet and MagFace: the nearest point of scikit-learn's curve."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols._roc import Scores
from tests.goldens import golden

FAR = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]


@golden("ijb/tar_far*", "btnet/ijbc_roc_pick*", "btnet/ijbc_1to1*", "magface/eval_ijb_toy*")
def test_tar(file) -> None:
    """Every pair of score and label arrays in the file, with the numbers quoted of it."""
    data = np.load(file)
    checked = 0
    for name in data.files:
        if name.endswith("_scores") and f"{name.removesuffix('_scores')}_labels" in data:
            checked += insightface(data, name.removesuffix("_scores"))
        if name.endswith("__scores"):
            key = name.removesuffix("scores") + "tar_at_1e-6..1e-1"
            nearest(Scores(data[name], data["label"] == 1), data[key], 1e-12)
            checked += 1
    if "tar_percent" in data:
        piles = Scores(data["score"], data["label"] == 1)
        fars = data["x_labels"].tolist() if "x_labels" in data else FAR
        assert_percent(piles, data["tar_percent"], fars)
        if "fpr_flipped" in data:
            far, tar = piles.bends
            np.testing.assert_allclose(far[::-1], data["fpr_flipped"], atol=1e-12)
            np.testing.assert_allclose(tar[::-1], data["tpr_flipped"], atol=1e-12)
        checked += 1
    assert checked


def insightface(data, case: str) -> int:
    scores, same = data[f"{case}_scores"], data[f"{case}_labels"] == 1
    piles = Scores(scores, same)
    nearest(piles, data[f"{case}_tar_1e-6_to_1e-1"], 1e-12)
    if f"{case}_tar_percent_2dp" in data:
        assert_percent(piles, data[f"{case}_tar_percent_2dp"])
    if f"{case}_auc" in data:
        assert piles.roc.auc() == pytest.approx(float(data[f"{case}_auc"]), abs=1e-12)
    values = np.unique(scores)[::-1]
    far, tar = (
        np.append(0, (len(pile) - np.searchsorted(np.sort(pile), values)) / len(pile))
        for pile in (scores[~same], scores[same])
    )
    if f"{case}_npts_drop" in data:
        assert (len(piles.bends[0]), len(far)) == tuple(data[f"{case}_npts_drop"])
    if f"{case}_tar_full_curve" in data:
        picked = [tar[::-1][np.argmin(np.abs(far[::-1] - x))] for x in FAR]
        np.testing.assert_allclose(picked, data[f"{case}_tar_full_curve"], atol=1e-12)
    for x in FAR:
        # what this project quotes by default keeps to the target, and is the best that does
        assert piles.roc.tar(x) == pytest.approx(np.max(tar[far <= x + 1e-12]))
    return 1


def nearest(piles: Scores, expected: np.ndarray, tolerance: float) -> None:
    found = [piles.tar_nearest(x) for x in FAR]
    np.testing.assert_allclose(found, expected, atol=tolerance)


def assert_percent(piles: Scores, expected: np.ndarray, fars: list[float] = FAR) -> None:
    found = [float(f"{100 * piles.tar_nearest(x):.2f}") for x in fars]
    np.testing.assert_array_equal(found, expected)
