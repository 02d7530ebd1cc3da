"""ArcFace and CosFace in BTNet's classifier, one process: logits, loss and gradients."""

import numpy as np
import torch

from stages.losses import arcface, cosface
from tests.goldens import golden, setting, stored
from tests.losses.batches import results
from tests.rounding import hold

BTNET = {"arcface": (arcface, 0.5), "cosface": (cosface, 0.4)}  # and the margin
# The reference reports no sample's loss above -log 1e-30; its gradient knows no such cap.
CAP = -np.log(1e-30)


@golden("btnet/arcface_w1*.npz", "btnet/cosface_w1*.npz")
def test_margin(file):
    z = np.load(file)
    library, angle = BTNET[file.name.split("_")[0]]
    scale, angle = setting(file, z, "s", 64.0), setting(file, z, "m", angle)
    margin = library.build(library.Params(scale=scale, margin=angle))
    steps = [key.removeprefix("logits") for key in z.files if key.startswith("logits")]
    assert steps
    for step in steps:
        x, y = z[f"x{step}"], z[f"y{step}"]

        def compute(dtype: torch.dtype, x=x, y=y) -> dict:
            found = results(margin, x, z["W"], y, dtype)
            return found | {"reported": found["each"].clamp_max(CAP).mean()}

        names = {"logits": "logits", "reported": "loss", "x": "gx", "centres": "gW"}
        expected = stored(z, {ours: theirs + step for ours, theirs in names.items()})
        if f"cos{step}" in z:
            expected["cosine"] = z[f"cos{step}"][np.arange(len(y)), y]
        hold(compute, expected, f"step {step}")
