"""MagFace on several ranks: the published split loses dL/d|f| of samples of other ranks."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from stages.core.ranks import rank
from stages.losses import magface
from stages.losses._classifier import Classifier
from tests.goldens import golden
from tests.groups import on_ranks
from tests.losses import batches
from tests.rounding import bounds, within


def settings_of(z) -> magface.Params:
    names = ("l_a", "u_a", "l_m", "u_m", "lambda_g")
    return magface.Params(**dict(zip(names, map(float, z["settings"]), strict=True)))


def train(file: Path, dtype: torch.dtype) -> tuple[np.ndarray, ...]:
    """Gradient of this rank's samples; its centres'; classification loss and penalty."""
    z = np.load(file)
    mine = z["sample_rank"] == rank()
    x = torch.tensor(z["x"][mine], dtype=dtype, requires_grad=True)
    centres = torch.from_numpy(z["W"]).T
    classifier = Classifier(x.shape[1], len(centres), magface.build(settings_of(z))).to(dtype)
    assert (z["target_rank"] == rank()).tolist() == [
        classifier.own.start <= target < classifier.own.stop for target in z["target"]
    ]
    with torch.no_grad():
        classifier.centres.copy_(centres[classifier.own])
    loss = classifier(x, torch.from_numpy(z["target"][mine]))
    loss.total.backward()
    kept = (x.grad, classifier.centres.grad, loss.classification.detach(), loss.penalty.detach())
    return tuple(part.numpy() for part in kept)


def train_in_both(file: Path) -> dict[torch.dtype, tuple[np.ndarray, ...]]:
    return {dtype: train(file, dtype) for dtype in (torch.float64, torch.float32)}


def joined(z, results: list[tuple[np.ndarray, ...]]) -> dict[str, np.ndarray]:
    """What the ranks found, as one process would give it; the losses are equal on all."""
    x = np.empty(z["x"].shape, results[0][0].dtype)
    for number, (gradient, _, classification, penalty) in enumerate(results):
        x[z["sample_rank"] == number] = gradient
        np.testing.assert_array_equal((classification, penalty), results[0][2:])
    centres = np.concatenate([each[1] for each in results])
    return {"x": x, "centres": centres, "classification": classification, "penalty": penalty}


@golden("magface/splitfc_2rank_gradient*.npz")
def test_ranks_have_the_gradient_of_one(file, tmp_path):
    z = np.load(file)
    ranks = 1 + int(z["sample_rank"].max())
    found = on_ranks(partial(train_in_both, file), tmp_path, (ranks,))[ranks]
    margin = magface.build(settings_of(z))
    allowed = bounds(partial(batches.results, margin, z["x"], z["W"].T, z["target"]))

    double, single = (
        joined(z, [each[dtype] for each in found]) for dtype in (torch.float64, torch.float32)
    )
    expected = {
        "x": z["grad_x_single_process"],
        "classification": z["loss_id"],
        "penalty": z["loss_g"],
    }
    for name, value in double.items():
        exact = allowed[name].exact
        scale = np.abs(exact).max()
        np.testing.assert_allclose(value, exact, rtol=1e-12, atol=1e-12 * scale)
        within(allowed[name], single[name], f"{name}: float64 and float32")
        if name in expected:
            within(allowed[name], expected[name], f"{name}: float64 and the reference")

    # The published split: across the gradient right, along it only the penalty's for such samples.
    unit = z["x"] / np.linalg.norm(z["x"].astype(np.float64), axis=1, keepdims=True)
    lost = double["x"] - z["grad_x_torchshard_2ranks"]
    along = (lost * unit).sum(1)
    rounding = allowed["x"].allowed
    assert (np.abs(lost - along[:, None] * unit) <= 2 * rounding.max(1, keepdims=True)).all()
    elsewhere = z["sample_rank"] != z["target_rank"]
    # A sum over the elements, whose roundings add up as their squares.
    length = np.linalg.norm(rounding, axis=1)
    assert (np.abs(along[~elsewhere]) <= length[~elsewhere]).all()
    assert np.abs(along[elsewhere]).max() > 1e-3
