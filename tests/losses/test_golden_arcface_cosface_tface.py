"""ArcFace (hard and easy) and CosFace against TFace's local heads."""

import re
from functools import partial

import numpy as np

from stages.losses import arcface, cosface
from tests.goldens import golden
from tests.losses.batches import results
from tests.rounding import hold


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
        expected = {
            "logits": z[f"{name}__logits"],
            "total": z[f"{name}__loss"],
            "x": z[f"{name}__grad_x"],
            "centres": z[f"{name}__grad_W"].T,  # a kernel [E, C]
        }
        hold(partial(results, margin_of(name), z["x"], z["W_out_in"], z["target"]), expected, name)
