"""CurricularFace against BTNet's code: one process, t, and what its model parallelism does."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses import curricularface
from tests.goldens import golden, setting, stored
from tests.losses.batches import results
from tests.losses.plain import cosines
from tests.rounding import hold

SCALE, ANGLE = 64.0, 0.5  # of a file that has neither
CAP = -np.log(1e-30)  # of the loss that the reference reports; its gradient knows none
NAMES = {"logits": "logits", "t": "t", "loss": "reported", "gx": "x", "gW": "centres"}


def built(file: Path, z, t: float = 0.0):
    scale, angle = setting(file, z, "s", SCALE), setting(file, z, "m", ANGLE)
    margin = curricularface.build(curricularface.Params(scale=scale, margin=angle))
    margin.t.fill_(t)
    return margin


@golden("btnet/curricularface_w1*.npz")
def test_successive_steps(file):
    z = np.load(file)
    steps = [key.removeprefix("logits") for key in z.files if key.startswith("logits")]
    assert steps

    def compute(dtype: torch.dtype) -> dict:
        margin, found = built(file, z), {}
        for step in sorted(steps, key=int):
            batch = results(margin, z[f"x{step}"], z["W"], z[f"y{step}"], dtype)
            batch |= {"t": margin.t.clone(), "reported": batch["each"].clamp_max(CAP).mean()}
            found |= {name + step: value for name, value in batch.items()}
        return found

    names = {ours + s: theirs + s for theirs, ours in NAMES.items() for s in steps}
    hold(compute, stored(z, names))


@golden("btnet/curricularface_t_ema*.npz")
def test_t_follows_the_mean_cosine(file):
    z = np.load(file)

    def compute(dtype: torch.dtype) -> dict:
        margin, after = built(file, z).to(dtype), []
        for mean in z["mean_target_cos"].tolist():
            margin.observe(torch.full((3,), mean, dtype=dtype), torch.ones(3, dtype=dtype))
            after.append(margin.t.clone())
        return {"t": torch.stack(after)}

    hold(compute, {"t": z["t_after"]})
    plain = [0.0]
    for mean in z["mean_target_cos"].tolist():
        plain.append(0.01 * mean + 0.99 * plain[-1])
    np.testing.assert_allclose(compute(torch.float64)["t"], plain[1:], rtol=1e-12)


@golden("btnet/curricularface_w2_modelparallel*.npz")
def test_model_parallel(file):
    """The reference's hard negatives and t are those of each rank; ours are a single process's."""
    z = np.load(file)
    x, centres, y, t = z["X"], z["W"], z["Y"], float(z["t_init"])
    owner = np.searchsorted(z["class_start"], y, side="right") - 1
    scale, angle = setting(file, z, "s", SCALE), setting(file, z, "m", ANGLE)
    hold(partial(_published, z, owner, scale, angle), {
        "loss": z["loss"],
        "t": z["t_after"],
        # The recorded gradient is that of a step of data-parallel averaging, times the ranks.
        "x": z["gx"],
    })  # fmt: skip

    def ours(dtype: torch.dtype) -> dict:
        margin = built(file, z, t).to(dtype)
        return results(margin, x, centres, y, dtype) | {"t": margin.t.clone()}

    hold(ours, {})
    double_x, alone = torch.from_numpy(x).double(), np.zeros_like(y)
    plain = _losses(double_x, centres, y, alone[:1], alone, t, scale, angle)
    double = ours(torch.float64)
    np.testing.assert_allclose(double["total"], plain.mean(), rtol=1e-12)
    own = _cosines(double_x, centres)[np.arange(len(y)), y]
    np.testing.assert_allclose(double["t"], 0.01 * own.mean() + 0.99 * t, rtol=1e-12)


def _published(z, owner: np.ndarray, scale: float, angle: float, dtype: torch.dtype) -> dict:
    """What the reference's ranks compute, in one process."""
    ranks, t = len(z["class_start"]), float(z["t_init"])
    x = torch.tensor(z["X"], dtype=dtype, requires_grad=True)
    losses = _losses(x, z["W"], z["Y"], z["class_start"], owner, t, scale, angle)
    losses.mean().backward()
    own = _cosines(x.detach(), z["W"])[np.arange(len(z["Y"])), z["Y"]]
    after = [0.01 * own[owner == rank].mean() + 0.99 * t for rank in range(ranks)]
    reported = losses.detach().clamp_max(CAP).mean()
    return {"loss": reported.expand(ranks), "t": torch.stack(after), "x": ranks * x.grad}


def _cosines(x: torch.Tensor, centres: np.ndarray) -> torch.Tensor:
    return cosines(F.normalize(x), torch.tensor(centres, dtype=x.dtype))[0]


def _losses(
    x: torch.Tensor, centres, y, class_start, owner, t: float, scale, angle
) -> torch.Tensor:
    """Of each sample, where a negative is modulated if the rank of the positive has it."""
    c = _cosines(x, centres)
    rows, y = torch.arange(len(y)), torch.tensor(y)
    columns = torch.from_numpy(np.searchsorted(class_start, np.arange(len(centres)), "right") - 1)
    together = columns[None] == torch.tensor(owner)[:, None]
    own = c[rows, y]
    moved = torch.cos(torch.acos(own) + angle)
    after = [0.01 * own[owner == rank].mean() + 0.99 * t for rank in range(len(class_start))]
    each = torch.stack(after).detach()[torch.tensor(owner)][:, None]
    z = torch.where(together & (c > moved[:, None]), c * (each + c), c)
    moved = torch.where(own > -np.cos(angle), moved, own - angle * np.sin(angle))
    z = z.index_put((rows, y), moved)
    return F.cross_entropy(scale * z, y, reduction="none")
