"""Mag-CosFace, and MagFace once more, against the split classifier's code on one rank."""

from functools import partial

import numpy as np

from stages.losses import mag_cosface, magface
from tests.goldens import golden, stored
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
NAMES = {
    "total": "total",
    "classification": "loss_id",
    "penalty": "loss_g",
    "x": "grad_x",
    "centres": "grad_W",
}
FIELDS = ("l_a", "u_a", "l_m", "u_m", "lambda_g")


def settings_of(z) -> dict[str, tuple[float, ...]]:
    """Of a file that has its own, as magface_loss has."""
    if "setting_names" not in z:
        return {}
    rows = [tuple(map(float, row)) for row in z["settings"]]
    return dict(zip(map(str, z["setting_names"]), rows, strict=True))


@golden("magface/magcosface_parallel*.npz")
def test_loss_gradients_and_logits(file):
    z = np.load(file)
    x, centres, target = z["x"], z["W_out_in"], z["target"]
    rows = np.arange(len(target))
    known = SETTINGS | settings_of(z)
    prefixes = [key.removesuffix("total") for key in z.files if key.endswith("__total")]
    assert prefixes
    for prefix in prefixes:
        kind, setting, _ = prefix.split("__")
        given = dict(zip(FIELDS, known[setting], strict=True))
        margin = KINDS[kind].build(KINDS[kind].Params(**given))
        expected = stored(z, {ours: prefix + theirs for ours, theirs in NAMES.items()})
        if prefix + "s_cos" in z:
            expected["logits"] = z[prefix + "s_cos"].copy()
            expected["logits"][rows, target] = z[prefix + "s_cos_m"][rows, target]
        hold(partial(results, margin, x, centres, target), expected, prefix)
