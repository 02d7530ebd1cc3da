"""ArcFace and CosFace in BTNet's classifier, one process: logits, loss and gradients."""

import numpy as np
import torch

from stages.losses import arcface, cosface
from tests.goldens import golden
from tests.losses.batches import results
from tests.rounding import hold

BTNET = {
    "arcface": arcface.build(arcface.Params(margin=0.5)),
    "cosface": cosface.build(cosface.Params(margin=0.4)),
}
# The reference reports no sample's loss above -log 1e-30; its gradient knows no such cap.
CAP = -np.log(1e-30)


@golden("btnet/arcface_w1*.npz", "btnet/cosface_w1*.npz")
def test_margin(file):
    z = np.load(file)
    margin = BTNET[file.name.split("_")[0]]
    steps = [key.removeprefix("logits") for key in z.files if key.startswith("logits")]
    assert steps
    for step in steps:
        x, y = z[f"x{step}"], z[f"y{step}"]

        def compute(dtype: torch.dtype, x=x, y=y) -> dict:
            found = results(margin, x, z["W"], y, dtype)
            return found | {"reported": found["each"].clamp_max(CAP).mean()}

        expected = {
            "logits": z[f"logits{step}"],
            "reported": z[f"loss{step}"],
            "cosine": z[f"cos{step}"][np.arange(len(y)), y],
            "x": z[f"gx{step}"],
            "centres": z[f"gW{step}"],
        }
        hold(compute, expected, f"step {step}")
