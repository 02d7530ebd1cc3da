"""MagFace against its reference, in float32 and in float64."""

from functools import partial

import numpy as np
import torch

from stages.losses import magface
from tests.goldens import golden
from tests.losses.batches import results
from tests.rounding import hold


def settings_of(z):
    for name, values in zip(z["setting_names"], z["settings"], strict=True):
        l_a, u_a, l_m, u_m, lambda_g = map(float, values)
        for branch in ("easy", "hard"):
            if f"{name}__{branch}__total" in z:
                params = magface.Params(
                    l_a=l_a, u_a=u_a, l_m=l_m, u_m=u_m, lambda_g=lambda_g, easy=branch == "easy"
                )
                yield f"{name}__{branch}__", magface.build(params)


@golden("magface/magface_loss*.npz")
def test_loss_gradients_and_logits(file):
    z = np.load(file)
    target, rows = z["target"], np.arange(len(z["target"]))
    prefixes = []
    for prefix, margin in settings_of(z):
        logits = z[prefix + "s_cos"].copy()
        logits[rows, target] = z[prefix + "s_cos_m"][rows, target]
        compute = partial(results, margin, z["x"], z["W"].T, target)
        expected = {
            "logits": logits,
            "total": z[prefix + "total"],
            "classification": z[prefix + "loss_id"],
            "penalty": z[prefix + "loss_g"],
            "x": z[prefix + "grad_x"],
            "centres": z[prefix + "grad_W"].T,
        }
        hold(compute, expected, prefix)
        prefixes.append(prefix)
    assert prefixes


@golden("magface/magface_loss*.npz")
def test_float64(file):
    z = np.load(file)
    for prefix, margin in settings_of(z):
        if prefix + "total_f64" not in z:
            continue
        double = results(margin, z["x"], z["W"].T, z["target"], torch.float64)
        np.testing.assert_allclose(double["total"], z[prefix + "total_f64"], rtol=1e-12)
        np.testing.assert_allclose(double["x"], z[prefix + "grad_x_f64"], atol=1e-12)
        np.testing.assert_allclose(double["centres"].T, z[prefix + "grad_W_f64"], atol=1e-12)
        unit = z["x"] / np.linalg.norm(z["x"].astype(np.float64), axis=1, keepdims=True)
        radial = (double["x"] * unit).sum(1)
        np.testing.assert_allclose(radial, z[prefix + "radial_grad_f64"], atol=1e-12)


@golden("magface/magface_loss*.npz")
def test_margin(file):
    z = np.load(file)
    for prefix, margin in settings_of(z):

        def compute(dtype: torch.dtype, margin=margin) -> dict:
            norm = torch.tensor(z["x"], dtype=dtype).norm(dim=1)
            return {"magnitude": margin.magnitude(norm), "margin": margin.margin(norm)}

        expected = {
            "magnitude": z[prefix + "x_norm_clamped"][:, 0],
            "margin": z[prefix + "margin"][:, 0],
        }
        hold(compute, expected, prefix)


@golden("magface/magface_loss*.npz")
def test_lower_bound_of_lambda_g(file):
    z = np.load(file)
    by_name = {
        prefix.split("__")[0]: margin.params.minimum_lambda_g for prefix, margin in settings_of(z)
    }
    bounds = [by_name[str(name)] for name in z["setting_names"]]
    if "min_lambda_g" in z:
        np.testing.assert_allclose(bounds, z["min_lambda_g"], rtol=1e-12)
