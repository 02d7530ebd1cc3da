"""ArcFace and CosFace in BTNet's classifier, one process: logits, loss and gradients."""

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses import arcface, cosface
from tests.goldens import golden
from tests.losses.batches import logits, run

BTNET = {
    "arcface": arcface.build(arcface.Params(margin=0.5)),
    "cosface": cosface.build(cosface.Params(margin=0.4)),
}


@golden("btnet/arcface_w1*.npz", "btnet/cosface_w1*.npz")
def test_margin(file):
    z = np.load(file)
    margin = BTNET[file.name.split("_")[0]]
    steps = [key.removeprefix("logits") for key in z.files if key.startswith("logits")]
    for step in steps:
        x, y = z[f"x{step}"], z[f"y{step}"]
        ours = logits(margin, x, z["W"], y)
        np.testing.assert_allclose(ours, z[f"logits{step}"], rtol=1e-5, atol=1e-4)
        batch = run(margin, x, z["W"], y)
        each = F.cross_entropy(ours, torch.from_numpy(y), reduction="none")
        np.testing.assert_allclose(batch.loss.total, each.mean(), rtol=1e-5)
        # The reference reports no sample's loss above -log 1e-30; its gradient knows no such cap.
        reported = each.clamp_max(-np.log(1e-30)).mean()
        np.testing.assert_allclose(reported, z[f"loss{step}"], rtol=1e-5)
        own = z[f"cos{step}"][np.arange(len(y)), y]
        np.testing.assert_allclose(batch.loss.cosine, own, atol=1e-6)
        for gradient, name in ((batch.embedding, "gx"), (batch.centres, "gW")):
            expected = z[f"{name}{step}"]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * scale)
