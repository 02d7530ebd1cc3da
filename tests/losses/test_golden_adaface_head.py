"""AdaFace's head over successive steps, and of a batch of one; the file's CosFace and ArcFace."""

import re
from functools import partial

import numpy as np
import torch

from stages.losses import adaface, arcface, cosface
from stages.losses._cross_entropy import Shard, cross_entropy
from tests.goldens import golden, stored
from tests.losses.plain import cosines
from tests.rounding import hold

PATTERN = "adaface/head_two_steps*.npz"
LIMIT = 1 - 1e-4  # of the cosine in the file's CosFace and ArcFace
# stored name: ours
NAMES = {
    "loss": "loss",
    "batch_mean": "mean",
    "batch_std": "std",
    "logits": "logits",
    "gemb": "unit",
    "gkernel": "kernel",
}


def steps_of(z) -> list[int]:
    found = [match[1] for key in z.files if (match := re.fullmatch(r"emb_(\d+)", key))]
    assert found
    return sorted(map(int, found))


def batch_of(z, step: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Unit embeddings, their lengths, classes; and the centres."""
    unit, norm = (torch.tensor(z[f"{name}_{step}"], dtype=dtype) for name in ("emb", "norms"))
    centres = torch.tensor(z["kernel"].T, dtype=dtype).contiguous()
    return unit, norm.squeeze(1), torch.from_numpy(z[f"labels_{step}"]), centres


def logits_of(margin, z, step: int, dtype: torch.dtype) -> torch.Tensor:
    unit, norm, label, centres = batch_of(z, step, dtype)
    return margin(cosines(unit, centres)[0], norm, label)


def descend(margin, z, step: int, dtype: torch.dtype, rows: slice = slice(None)) -> dict:
    """One step of `margin`, which moves its statistics."""
    unit, norm, label, centres = batch_of(z, step, dtype)
    unit, norm, label = unit[rows].requires_grad_(), norm[rows], label[rows]
    loss, _ = cross_entropy(unit, norm, Shard(centres.requires_grad_(), label, None, 1), margin)
    loss.backward()
    return {
        "loss": loss,
        "mean": margin.mean.clone(),
        "std": margin.std.clone(),
        "logits": logits_of(margin, z, step, dtype)[rows],
        "unit": unit.grad,
        "kernel": centres.grad.T,
    }


@golden(PATTERN)
def test_two_steps(file):
    z = np.load(file)
    names = [key.removesuffix("_cfg") for key in z.files if key.endswith("_cfg")]
    assert names
    for name in names:
        m, h, s, alpha = map(float, z[f"{name}_cfg"])
        settings = adaface.Params(scale=s, margin=m, concentration=h, t_alpha=alpha)

        def compute(dtype: torch.dtype, settings=settings) -> dict:
            margin = adaface.build(settings).to(dtype)
            return {
                f"{key}_{step}": value
                for step in steps_of(z)
                for key, value in descend(margin, z, step, dtype).items()
            }

        names_of = {
            f"{ours}_{step}": f"{name}_{theirs}_{step}"
            for step in steps_of(z)
            for theirs, ours in NAMES.items()
        }
        expected = stored(z, names_of)
        for key, value in expected.items():
            if key.startswith(("mean", "std")):
                expected[key] = value.reshape(())
        hold(compute, expected, name)


@golden(PATTERN)
def test_batch_of_one_keeps_the_std(file):
    """The reference's std is NaN from here on; FaceCoresetNet's copy takes 0 into it."""
    z = np.load(file)

    def compute(dtype: torch.dtype) -> dict:
        margin = adaface.build(adaface.Params()).to(dtype)
        return descend(margin, z, 0, dtype, slice(0, 1))

    if "b1_ada_std" in z:
        assert np.isnan(z["b1_ada_std"]).all()
    hold(compute, {"mean": z["b1_ada_mean"].reshape(())} if "b1_ada_mean" in z else {})
    single = compute(torch.float32)
    assert single["std"] == adaface.FIRST_STD
    assert all(torch.isfinite(single[key]).all() for key in ("loss", "unit", "kernel"))

    unit, norm, label, centres = batch_of(z, 0, torch.float64)
    others = np.arange(len(centres)) != label[0].item()
    if "b1_fc_logits" in z:
        hold(
            lambda dtype: {"others": compute(dtype)["logits"][:, others]},
            {"others": z["b1_fc_logits"][:, others]},
        )
    double = compute(torch.float64)
    k = 0.333 * (norm[0] - double["mean"]) / (100 + 1e-3)
    angle = torch.acos(cosines(unit, centres)[0][0, label[0]]) - 0.4 * k
    own = 64 * (torch.cos(angle) - (0.4 + 0.4 * k))
    np.testing.assert_allclose(double["logits"][0, label[0]].detach(), own, rtol=1e-9)


@golden(PATTERN)
def test_cosface_and_arcface_of_the_same_file(file):
    z = np.load(file)
    margins = {
        "cosface": cosface.build(cosface.Params(margin=0.4)),
        "arcface": arcface.build(arcface.Params(margin=0.5)),
    }
    for name, margin in margins.items():
        for step in [step for step in steps_of(z) if f"{name}_logits_{step}" in z]:
            unit, _, label, centres = batch_of(z, step, torch.float64)
            (cosine,) = cosines(unit, centres)
            inside = (cosine.abs() < LIMIT).numpy()  # the file's heads bend the rest
            own = cosine[torch.arange(len(label)), label]
            if name == "arcface":  # past pi - m the file's entry stays at -1
                inside[own.numpy() < -np.cos(0.5)] = False
            compute = partial(logits_of, margin, z, step)
            expected = z[f"{name}_logits_{step}"][inside]
            hold(
                lambda dtype, compute=compute, inside=inside: {"logits": compute(dtype)[inside]},
                {"logits": expected},
                f"{name} {step}",
            )
