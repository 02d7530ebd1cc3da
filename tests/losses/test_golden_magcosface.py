"""Mag-CosFace, and MagFace once more, against the split classifier's code on one rank."""

from functools import partial

import numpy as np

from stages.losses import mag_cosface, magface
from tests.goldens import golden
from tests.losses.batches import results
from tests.rounding import hold

# Settings that the file names; the file itself has none.
SETTINGS = {
    "default_run_sh": (10, 110, 0.45, 0.8, 35),
    "finetune_readme": (1, 51, 0.45, 1.0, 5),
    "alt_65": (10, 100, 0.45, 0.65, 45),
    "magcos_margin_range": (10, 110, 0.35, 0.8, 150),
    "arcface_const_m05": (10, 110, 0.5, 0.5, 0),
}
KINDS = {"arc": magface, "cos": mag_cosface}
FIELDS = ("l_a", "u_a", "l_m", "u_m", "lambda_g")


@golden("magface/magcosface_parallel*.npz")
def test_loss_gradients_and_logits(file):
    z = np.load(file)
    x, centres, target = z["x"], z["W_out_in"], z["target"]
    rows = np.arange(len(target))
    prefixes = [key.removesuffix("total") for key in z.files if key.endswith("__total")]
    assert prefixes
    for prefix in prefixes:
        kind, setting, _ = prefix.split("__")
        given = dict(zip(FIELDS, SETTINGS[setting], strict=True))
        margin = KINDS[kind].build(KINDS[kind].Params(**given))
        logits = z[prefix + "s_cos"].copy()
        logits[rows, target] = z[prefix + "s_cos_m"][rows, target]
        expected = {
            "logits": logits,
            "total": z[prefix + "total"],
            "classification": z[prefix + "loss_id"],
            "penalty": z[prefix + "loss_g"],
            "x": z[prefix + "grad_x"],
            "centres": z[prefix + "grad_W"],
        }
        hold(partial(results, margin, x, centres, target), expected, prefix)
