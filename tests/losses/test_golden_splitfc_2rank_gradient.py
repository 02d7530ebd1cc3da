"""MagFace on two ranks: the published split loses dL/d|f| of samples whose class is elsewhere."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from stages.core.ranks import rank
from stages.losses import magface
from stages.losses._classifier import Classifier
from tests.goldens import golden
from tests.groups import on_ranks
from tests.losses.batches import run

RANKS = 2


def settings_of(z) -> magface.Params:
    names = ("l_a", "u_a", "l_m", "u_m", "lambda_g")
    return magface.Params(**dict(zip(names, map(float, z["settings"]), strict=True)))


def train(file: Path) -> tuple[np.ndarray, ...]:
    """Gradient of this rank's samples; its centres'; classification loss and penalty."""
    z = np.load(file)
    mine = z["sample_rank"] == rank()
    x = torch.from_numpy(z["x"][mine]).requires_grad_()
    centres = torch.from_numpy(z["W"]).T
    classifier = Classifier(x.shape[1], len(centres), magface.build(settings_of(z)))
    assert (z["target_rank"] == rank()).tolist() == [
        classifier.own.start <= target < classifier.own.stop for target in z["target"]
    ]
    with torch.no_grad():
        classifier.centres.copy_(centres[classifier.own])
    loss = classifier(x, torch.from_numpy(z["target"][mine]))
    loss.total.backward()
    kept = (x.grad, classifier.centres.grad, loss.classification.detach(), loss.penalty.detach())
    return tuple(part.numpy() for part in kept)


@golden("magface/splitfc_2rank_gradient*.npz")
def test_two_ranks_have_the_gradient_of_one(file, tmp_path):
    z = np.load(file)
    results = on_ranks(partial(train, file), tmp_path, (RANKS,))[RANKS]
    ours = np.empty_like(z["x"])
    for number, (gradient, _, classification, penalty) in enumerate(results):
        ours[z["sample_rank"] == number] = gradient
        np.testing.assert_allclose(classification, z["loss_id"], rtol=1e-5)
        np.testing.assert_allclose(penalty, z["loss_g"], rtol=1e-5)
    np.testing.assert_allclose(ours, z["grad_x_single_process"], atol=1e-5)
    single = run(magface.build(settings_of(z)), z["x"], z["W"].T, z["target"])
    centres = np.concatenate([each[1] for each in results])
    np.testing.assert_allclose(centres, single.centres, atol=1e-5)

    # The published split: across the gradient right, along it only the penalty's for such samples.
    unit = z["x"] / np.linalg.norm(z["x"], axis=1, keepdims=True)
    lost = ours - z["grad_x_torchshard_2ranks"]
    along = (lost * unit).sum(1)
    np.testing.assert_allclose(lost, along[:, None] * unit, atol=1e-5)
    elsewhere = z["sample_rank"] != z["target_rank"]
    np.testing.assert_allclose(along[~elsewhere], 0, atol=1e-5)
    assert np.abs(along[elsewhere]).max() > 1e-3
