"""CurricularFace against BTNet's code: one process, t, and what its model parallelism does."""

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses import curricularface
from tests.goldens import golden
from tests.losses.batches import logits, run
from tests.losses.plain import cosines

ANGLE = 0.5
CAP = -np.log(1e-30)  # of the loss that the reference reports; its gradient knows none


def built():
    return curricularface.build(curricularface.Params(margin=ANGLE))


@golden("btnet/curricularface_w1*.npz")
def test_successive_steps(file):
    z = np.load(file)
    margin = built()
    steps = [key.removeprefix("logits") for key in z.files if key.startswith("logits")]
    for step in sorted(steps, key=int):
        x, y = z[f"x{step}"], z[f"y{step}"]
        batch = run(margin, x, z["W"], y)
        np.testing.assert_allclose(margin.t, z[f"t{step}"], rtol=1e-5, atol=1e-9)
        ours = logits(margin, x, z["W"], y)
        np.testing.assert_allclose(ours, z[f"logits{step}"], rtol=1e-5, atol=1e-4)
        each = F.cross_entropy(ours, torch.from_numpy(y), reduction="none")
        np.testing.assert_allclose(batch.loss.total, each.mean(), rtol=1e-5)
        reported = each.clamp_max(CAP).mean()
        np.testing.assert_allclose(reported, z[f"loss{step}"], rtol=1e-5)
        for gradient, name in ((batch.embedding, "gx"), (batch.centres, "gW")):
            expected = z[f"{name}{step}"]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * scale)


@golden("btnet/curricularface_t_ema*.npz")
def test_t_follows_the_mean_cosine(file):
    z = np.load(file)
    margin = built()
    for mean, after in zip(z["mean_target_cos"], z["t_after"], strict=True):
        margin.observe(torch.full((3,), float(mean)), torch.ones(3))
        np.testing.assert_allclose(margin.t, after, rtol=1e-5, atol=1e-8)


@golden("btnet/curricularface_w2_modelparallel*.npz")
def test_model_parallel(file):
    """The reference's hard negatives and t are those of each rank; ours are a single process's."""
    z = np.load(file)
    x, centres, y, t = z["X"], z["W"], z["Y"], float(z["t_init"])
    owner = np.searchsorted(z["class_start"], y, side="right") - 1
    ours = _losses(x, centres, y, np.array([0]), np.zeros_like(y), t)
    theirs = _losses(x, centres, y, z["class_start"], owner, t)
    for recorded in z["loss"]:
        np.testing.assert_allclose(theirs.clamp_max(CAP).mean(), recorded, rtol=1e-5)

    margin = built()
    margin.t.fill_(t)
    batch = run(margin, x, centres, y)
    np.testing.assert_allclose(batch.loss.total, ours.mean(), rtol=1e-5)
    own = _cosines(x, centres)[np.arange(len(y)), y]
    np.testing.assert_allclose(margin.t, 0.01 * own.mean() + 0.99 * t, rtol=1e-5)
    for rank, recorded in enumerate(z["t_after"]):
        rows = owner == rank
        np.testing.assert_allclose(0.01 * own[rows].mean() + 0.99 * t, recorded, rtol=1e-5)
    # The recorded gradient is that of a step of data-parallel averaging, times the ranks.
    leaf = torch.from_numpy(x).double().requires_grad_()
    _losses(leaf, centres, y, z["class_start"], owner, t).mean().backward()
    np.testing.assert_allclose(len(z["loss"]) * leaf.grad, z["gx"], rtol=1e-4, atol=1e-4)


def _cosines(x, centres):
    kernel = torch.from_numpy(centres).double()
    return cosines(F.normalize(torch.as_tensor(x).double()), kernel)[0]


def _losses(x, centres, y, class_start, owner, t):
    """Of each sample, where a negative is modulated if the rank of the positive has it."""
    c = _cosines(x, centres)
    rows, y = torch.arange(len(y)), torch.from_numpy(y)
    columns = torch.from_numpy(np.searchsorted(class_start, np.arange(len(centres)), "right") - 1)
    together = columns[None] == torch.from_numpy(owner)[:, None]
    own = c[rows, y]
    moved = torch.cos(torch.acos(own) + ANGLE)
    t = torch.tensor(
        [0.01 * own[owner == rank].mean().item() + 0.99 * t for rank in range(len(class_start))]
    )[torch.from_numpy(owner)][:, None]
    z = torch.where(together & (c > moved[:, None]), c * (t + c), c)
    z[rows, y] = torch.where(own > -np.cos(ANGLE), moved, own - ANGLE * np.sin(ANGLE))
    return F.cross_entropy(64 * z, y, reduction="none")
