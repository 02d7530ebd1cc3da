"""AdaFace's head over two steps, and of a batch of one; CosFace and ArcFace of the same file."""

import numpy as np
import torch

from stages.losses import adaface, arcface, cosface
from stages.losses._cross_entropy import Shard, cross_entropy
from tests.goldens import golden
from tests.losses.plain import cosines

PATTERN = "adaface/head_two_steps*.npz"
LIMIT = 1 - 1e-4  # of the cosine in the file's CosFace and ArcFace
STEPS = (0, 1)


def batch_of(z, step: int) -> tuple[torch.Tensor, ...]:
    """Unit embeddings, their lengths, classes."""
    parts = (z[f"emb_{step}"], z[f"norms_{step}"].squeeze(1), z[f"labels_{step}"])
    return tuple(torch.from_numpy(part) for part in parts)


def logits_of(margin, z, step: int) -> np.ndarray:
    unit, norm, label = batch_of(z, step)
    (cosine,) = cosines(unit, torch.from_numpy(z["kernel"]).T)
    return margin(cosine, norm, label).numpy()


@golden(PATTERN)
def test_two_steps(file):
    z = np.load(file)
    names = [key.removesuffix("_cfg") for key in z.files if key.endswith("_cfg")]
    assert names
    for name in names:
        m, h, s, alpha = map(float, z[f"{name}_cfg"])
        settings = adaface.Params(scale=s, margin=m, concentration=h, t_alpha=alpha)
        margin = adaface.build(settings)
        for step in STEPS:
            unit, norm, label = batch_of(z, step)
            centres = torch.from_numpy(z["kernel"]).T.contiguous().requires_grad_()
            shard = Shard(centres, label, None, spheres=1)
            loss, _ = cross_entropy(unit.requires_grad_(), norm, shard, margin)
            loss.backward()
            expected = {key: z[f"{name}_{key}_{step}"] for key in _KEYS}
            np.testing.assert_allclose(loss.item(), expected["loss"], rtol=1e-5)
            np.testing.assert_allclose(margin.mean, expected["batch_mean"][0], rtol=1e-6)
            np.testing.assert_allclose(margin.std, expected["batch_std"][0], rtol=1e-6)
            actual = logits_of(margin, z, step)
            np.testing.assert_allclose(actual, expected["logits"], rtol=1e-5, atol=1e-4)
            np.testing.assert_allclose(unit.grad, expected["gemb"], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(centres.grad.T, expected["gkernel"], rtol=1e-4, atol=1e-4)


_KEYS = ("loss", "batch_mean", "batch_std", "logits", "gemb", "gkernel")


@golden(PATTERN)
def test_batch_of_one_keeps_the_std(file):
    """The reference's std is NaN from here on; FaceCoresetNet's copy takes 0 into it."""
    z = np.load(file)
    margin = adaface.build(adaface.Params())
    unit, norm, label = (part[:1] for part in batch_of(z, 0))
    centres = torch.from_numpy(z["kernel"]).T.contiguous().requires_grad_()
    shard = Shard(centres, label, None, spheres=1)
    loss, _ = cross_entropy(unit.requires_grad_(), norm, shard, margin)
    loss.backward()
    assert np.isnan(z["b1_ada_std"]).all()
    assert margin.std == adaface.FIRST_STD
    np.testing.assert_allclose(margin.mean, z["b1_ada_mean"][0], rtol=1e-6)
    assert all(torch.isfinite(part).all() for part in (loss, unit.grad, centres.grad))
    actual = logits_of(margin, z, 0)[:1]
    others = np.arange(actual.shape[1]) != label.item()
    expected = z["b1_fc_logits"]
    np.testing.assert_allclose(actual[:, others], expected[:, others], rtol=1e-5, atol=1e-4)
    k = 0.333 * (norm.item() - float(margin.mean)) / (100 + 1e-3)
    angle = np.arccos(float(actual_cosine(z)[0, label.item()])) - 0.4 * k
    own = 64 * (np.cos(angle) - (0.4 + 0.4 * k))
    np.testing.assert_allclose(actual[0, label.item()], own, rtol=1e-5)


def actual_cosine(z) -> torch.Tensor:
    return cosines(batch_of(z, 0)[0], torch.from_numpy(z["kernel"]).T)[0]


@golden(PATTERN)
def test_cosface_and_arcface_of_the_same_file(file):
    z = np.load(file)
    margins = {
        "cosface": cosface.build(cosface.Params(margin=0.4)),
        "arcface": arcface.build(arcface.Params(margin=0.5)),
    }
    for name, margin in margins.items():
        for step in STEPS:
            unit, _, label = batch_of(z, step)
            (cosine,) = cosines(unit, torch.from_numpy(z["kernel"]).T)
            inside = (cosine.abs() < LIMIT).numpy()  # the file's heads bend the rest
            own = cosine[torch.arange(len(label)), label]
            if name == "arcface":  # past pi - m the file's entry stays at -1
                inside[own.numpy() < -np.cos(0.5)] = False
            expected = z[f"{name}_logits_{step}"]
            actual = logits_of(margin, z, step)
            np.testing.assert_allclose(actual[inside], expected[inside], rtol=1e-5, atol=1e-4)
