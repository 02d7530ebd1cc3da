"""One and N spheres against MultiFace's heads."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses import arcface, cosface, softmax
from tests.goldens import golden
from tests.losses.batches import results
from tests.losses.plain import cosines
from tests.rounding import hold

MARGINS = ("softmax", "arcface", "cosface")
PATTERNS = [f"multiface/head_{prefix}{m}*.npz" for m in MARGINS for prefix in ("", "single_")]
RAW = "rawinput"  # fed without the network's normalisation, which our classifier always does


def margin_of(file, z):
    scale, angle = float(z["s"]), float(z["m"])
    if "softmax" in file.name:
        return softmax.build(softmax.Params(scale=scale))
    library = arcface if "arcface" in file.name else cosface
    return library.build(library.Params(scale=scale, margin=angle))


@golden(*PATTERNS)
def test_loss_and_gradients(file):
    z = np.load(file)
    margin, spheres = margin_of(file, z), int(z["N"])
    if RAW in file.name:
        compute = partial(_raw, margin, z)
    else:
        compute = partial(results, margin, z["raw"], z["W"].T, z["y"], spheres=spheres)
    hold(compute, {"total": z["loss"], "x": z["g_raw"], "centres": z["gW"].T})


@golden(*PATTERNS)
def test_logits_of_every_sphere(file):
    """`emb` is what the reference's head was given: of length 1, or raw."""
    z = np.load(file)
    margin, y = margin_of(file, z), torch.from_numpy(z["y"])

    def compute(dtype: torch.dtype) -> dict:
        unit, centres = (torch.tensor(part, dtype=dtype) for part in (z["emb"], z["W"].T))
        norm = torch.ones(len(y), dtype=dtype)
        entries = [margin(c, norm, y) for c in cosines(unit, centres, int(z["N"]))]
        each = [F.cross_entropy(entry, y) for entry in entries]
        return {"logits": torch.stack(entries), "each": torch.stack(each)}

    hold(compute, {"logits": z["logits"], "each": z["loss_each"]})


def _raw(margin, z, dtype: torch.dtype) -> dict:
    """The loss's definition on an embedding that is not normalised."""
    raw, kernel = (torch.tensor(z[k], dtype=dtype, requires_grad=True) for k in ("raw", "W"))
    y, norm = torch.from_numpy(z["y"]), raw.norm(dim=1)
    spheres = cosines(raw, kernel.T, int(z["N"]))
    loss = sum(F.cross_entropy(margin(cosine, norm, y), y) for cosine in spheres)
    loss.backward()
    return {"total": loss, "x": raw.grad, "centres": kernel.grad.T}
