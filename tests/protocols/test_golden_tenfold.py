"""Ten-fold accuracy of BTNet, MultiFace, AdaFace and MagFace, and MagFace's rejection curve."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import _edc, pairs
from tests.goldens import golden


@golden(
    "btnet/verification_10fold*",
    "btnet/verification_test_dynamic*",
    "multiface/verification*",
    "adaface/tenfold*",
    "magface/eval_quality_1v1*",
)
def test_accuracy(file) -> None:
    """The arrays of each kind, by their names."""
    data = np.load(file)
    checked = 0
    if "emb1_flip" in data:
        checked += btnet(data)
    if "imgs1" in data:
        checked += from_pixels(data)
    if "emb" in data:
        checked += interleaved(data)
    for name in data.files:
        if name.endswith("__emb0"):
            checked += magface(data, name.removesuffix("emb0"))
    assert checked


def folds(first, second, same, **options) -> tuple[np.ndarray, np.ndarray]:
    fold = pairs.folds_of(len(same), 10)
    params = pairs.Params(**options)
    return pairs.folds_accuracy(pairs.distances(first, second, fold, params), same, fold)


def rates(distance: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """TPR and FPR at every threshold, mean of the ten folds, as the references report them."""
    told = distance[None] < pairs.THRESHOLDS[:, None]
    parts = np.array_split(np.arange(len(same)), 10)
    return tuple(
        np.mean([told[:, part[same[part] == kind]].mean(axis=1) for part in parts], axis=0)
        for kind in (True, False)
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def btnet(data) -> int:
    first, second = data["emb1"] + data["emb1_flip"], data["emb2"] + data["emb2_flip"]
    same = data["issame"]
    accuracy, _ = folds(first, second, same)
    np.testing.assert_array_equal(accuracy, data["acc_folds"])
    for name, measure in (("acc_mean", np.mean), ("acc_std", np.std)):
        if name in data:
            assert measure(accuracy) == pytest.approx(float(data[name]), abs=1e-12)
    for vectors, name in ((first, "sum_norm1"), (second, "sum_norm2")):
        if name in data:
            np.testing.assert_allclose(unit(vectors), data[name], atol=1e-12)
    found = rates(pairs.squared_distance(first, second), same)
    for name, rate in zip(("tpr_mean", "fpr_mean"), found, strict=True):
        if name in data:
            np.testing.assert_allclose(rate, data[name], atol=1e-12)
    return 1


def from_pixels(data) -> int:
    """Toy networks of two resolutions: pixels times a matrix, with the flip test."""
    sums = []
    for side in ("1", "2"):
        images, matrix = data[f"imgs{side}"], data[f"W{side}"]
        lengths = []
        total = 0
        for view in (images, images[..., ::-1]):
            pixels = ((view / 255 - 0.5) / 0.5).reshape(len(images), -1)
            embedding = pixels @ matrix / np.sqrt(len(matrix))
            lengths.append(np.linalg.norm(embedding, axis=1))
            total = total + embedding
        assert np.mean(lengths) == pytest.approx(float(data[f"xnorm{side}"]), rel=1e-5)
        sums.append(total)
    accuracy, _ = folds(*sums, data["issame"])
    assert np.mean(accuracy) == pytest.approx(float(data["acc2"]), abs=1e-12)
    assert np.std(accuracy) == pytest.approx(float(data["std2"]), abs=1e-12)
    return 1


def interleaved(data) -> int:
    """Rows 2k and 2k + 1 are a pair."""
    first, second, same = data["emb"][0::2], data["emb"][1::2], data["issame"]
    accuracy, threshold = folds(first, second, same)
    np.testing.assert_array_equal(accuracy, data["acc_folds" if "acc_folds" in data else "acc"])
    if "best_thresholds" in data:
        np.testing.assert_array_equal(threshold, data["best_thresholds"])
    distance = pairs.squared_distance(first, second)
    told = distance[None] < pairs.THRESHOLDS[:, None]
    by_fold = rates(distance, same)
    at_once = told[:, same].mean(axis=1), told[:, ~same].mean(axis=1)
    for name, *expected in (("tpr", by_fold[0], at_once[0]), ("fpr", by_fold[1], at_once[1])):
        if name not in data:
            continue
        assert any(np.allclose(data[name], one, atol=1e-12) for one in expected)
    if "acc_mean" in data:
        assert np.mean(accuracy) == pytest.approx(float(data["acc_mean"]), abs=1e-12)
    if "angle_keys" in data:
        angles(data, first, second, same)
    if "acc_first_subvector" in data:
        subvectors(data, first, second, same)
    return 1


def angles(data, first, second, same) -> None:
    """Mean and standard deviation (called var) of the angles, degrees."""
    degrees = 180 * pairs.angle(first, second)
    found = {
        f"{kind}_pair_angle_{name}": measure(degrees[mask])
        for kind, mask in (("same", same), ("diff", ~same))
        for name, measure in (("mean", np.mean), ("var", np.std))
    }
    for key, expected in zip(data["angle_keys"], data["angle_vals"], strict=True):
        assert found[str(key)] == pytest.approx(expected, abs=1e-6)


def subvectors(data, first, second, same) -> None:
    """MultiFace's first 1/N of the dimensions, which it does not bring to length 1."""
    for parts, expected in zip(
        data["acc_first_subvector_N"], data["acc_first_subvector"], strict=True
    ):
        some = slice(0, first.shape[1] // parts)
        distance = np.sum((first[:, some] - second[:, some]) ** 2, axis=1)
        accuracy, _ = pairs.folds_accuracy(distance[None], same, pairs.folds_of(len(same), 10))
        assert np.mean(accuracy) == pytest.approx(float(expected), abs=1e-12)


def magface(data, tag: str) -> int:
    first, second, same = data[tag + "emb0"], data[tag + "emb1"], data[tag + "same"] == 1
    options = {"flip": False, "distance": "angle"}
    centred, _ = folds(first, second, same, centre=True, **options)
    np.testing.assert_array_equal(centred, data[tag + "acc_folds"])
    if tag + "acc_mean_std" in data:
        found = [np.mean(centred), np.std(centred)]
        np.testing.assert_allclose(found, data[tag + "acc_mean_std"], atol=1e-12)
    if tag + "acc_folds_nomean" in data:
        plain, _ = folds(first, second, same, **options)
        np.testing.assert_array_equal(plain, data[tag + "acc_folds_nomean"])
    distance = pairs.angle(first, second)
    if tag + "dist_raw" in data:
        np.testing.assert_allclose(distance, data[tag + "dist_raw"], atol=1e-7)
    if tag + "fnmr_at_1e3" not in data:
        return 1
    lower = np.minimum(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    if tag + "reject_ratio" in data:
        np.testing.assert_allclose(_edc.REJECTED, data[tag + "reject_ratio"], atol=1e-12)
    fnmr, _, _ = _edc.rejection_curve(-distance, same, lower)
    recorded = data[tag + "fnmr_at_1e3"]
    np.testing.assert_allclose(fnmr[: len(recorded)], recorded, atol=1e-12)
    assert np.isnan(fnmr[len(recorded) :]).all()
    return 1
