"""ArcFace (hard and easy) and CosFace against TFace's local heads."""

import re

import numpy as np

from stages.losses import arcface, cosface
from tests.goldens import golden
from tests.losses.batches import logits, run


def margin_of(name: str):
    """arcface_s64_m0.5, arcface_easy_s64_m0.5, cosface_s64_m0.35."""
    scale, margin = map(float, re.search(r"_s([\d.]+)_m([\d.]+)", name).groups())
    if name.startswith("cosface"):
        return cosface.build(cosface.Params(scale=scale, margin=margin))
    return arcface.build(arcface.Params(scale=scale, margin=margin, easy="easy" in name))


@golden("magface/arcface_cosface_tface*.npz")
def test_margin(file):
    z = np.load(file)
    names = [key.removesuffix("__loss") for key in z.files if key.endswith("__loss")]
    assert names
    for name in names:
        margin, centres = margin_of(name), z["W_out_in"]
        expected = z[f"{name}__logits"]
        actual = logits(margin, z["x"], centres, z["target"])
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)
        batch = run(margin, z["x"], centres, z["target"])
        np.testing.assert_allclose(batch.loss.total, z[f"{name}__loss"], rtol=1e-5)
        np.testing.assert_allclose(batch.embedding, z[f"{name}__grad_x"], atol=1e-5)
        kernel = z[f"{name}__grad_W"]  # [E, C]
        np.testing.assert_allclose(batch.centres.T, kernel, atol=1e-5)
