"""MagFace against its reference, in float32 and in float64."""

import numpy as np
import torch

from stages.losses import magface
from tests.goldens import golden
from tests.losses.batches import logits, run


def settings_of(z):
    for name, values in zip(z["setting_names"], z["settings"], strict=True):
        l_a, u_a, l_m, u_m, lambda_g = map(float, values)
        for branch in ("easy", "hard"):
            yield (
                f"{name}__{branch}__",
                magface.build(
                    magface.Params(
                        l_a=l_a, u_a=u_a, l_m=l_m, u_m=u_m, lambda_g=lambda_g, easy=branch == "easy"
                    )
                ),
            )


@golden("magface/magface_loss*.npz")
def test_loss_and_gradients(file):
    z = np.load(file)
    target = z["target"]
    for prefix, margin in settings_of(z):
        x, centres = z["x"], z["W"].T
        single = run(margin, x, centres, target)
        np.testing.assert_allclose(single.loss.total, z[prefix + "total"], rtol=1e-5)
        np.testing.assert_allclose(single.loss.classification, z[prefix + "loss_id"], rtol=1e-5)
        np.testing.assert_allclose(single.loss.penalty, z[prefix + "loss_g"], rtol=1e-5)
        np.testing.assert_allclose(single.embedding, z[prefix + "grad_x"], atol=1e-5)
        np.testing.assert_allclose(single.centres.T, z[prefix + "grad_W"], atol=1e-5)
        x, centres = x.astype(np.float64), centres.astype(np.float64)
        double = run(margin, x, centres, target)
        np.testing.assert_allclose(double.loss.total, z[prefix + "total_f64"], rtol=1e-12)
        np.testing.assert_allclose(double.embedding, z[prefix + "grad_x_f64"], atol=1e-12)
        np.testing.assert_allclose(double.centres.T, z[prefix + "grad_W_f64"], atol=1e-12)
        radial = (double.embedding * x).sum(1) / np.linalg.norm(x, axis=1)
        np.testing.assert_allclose(radial, z[prefix + "radial_grad_f64"], atol=1e-12)


@golden("magface/magface_loss*.npz")
def test_margin_and_logits(file):
    z = np.load(file)
    target, rows = z["target"], np.arange(len(z["target"]))
    norm = torch.from_numpy(z["x"]).double().norm(dim=1)
    for prefix, margin in settings_of(z):
        magnitude = margin.magnitude(norm).numpy()
        np.testing.assert_allclose(magnitude, z[prefix + "x_norm_clamped"][:, 0], rtol=1e-6)
        angle = margin.params.l_m + margin.slope * (magnitude - margin.params.l_a)
        np.testing.assert_allclose(angle, z[prefix + "margin"][:, 0], rtol=1e-5)
        expected = z[prefix + "s_cos"].copy()
        expected[rows, target] = z[prefix + "s_cos_m"][rows, target]
        actual = logits(margin, z["x"], z["W"].T, target)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)


@golden("magface/magface_loss*.npz")
def test_lower_bound_of_lambda_g(file):
    z = np.load(file)
    bounds = [
        margin.params.minimum_lambda_g for prefix, margin in settings_of(z) if "easy" in prefix
    ]
    np.testing.assert_allclose(bounds, z["min_lambda_g"], rtol=1e-12)
