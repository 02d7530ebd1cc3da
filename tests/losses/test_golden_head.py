"""One and N spheres against MultiFace's heads."""

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses import arcface, cosface, softmax
from tests.goldens import golden
from tests.losses.batches import run
from tests.losses.plain import cosines

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
    margin, centres, spheres = margin_of(file, z), z["W"].T, int(z["N"])
    if RAW in file.name:
        loss, embedding_gradient, centre_gradient = _raw(margin, z)
    else:
        batch = run(margin, z["raw"], centres, z["y"], spheres)
        loss, embedding_gradient, centre_gradient = batch.loss.total, batch.embedding, batch.centres
    np.testing.assert_allclose(loss, z["loss"], rtol=1e-5)
    np.testing.assert_allclose(embedding_gradient, z["g_raw"], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(centre_gradient.T, z["gW"], rtol=1e-5, atol=1e-4)


@golden(*PATTERNS)
def test_logits_of_every_sphere(file):
    z = np.load(file)
    margin, y = margin_of(file, z), torch.from_numpy(z["y"])
    spheres = cosines(torch.from_numpy(z["emb"]), torch.from_numpy(z["W"].T), int(z["N"]))
    norm = torch.ones(len(y))
    for cosine, logits, each in zip(spheres, z["logits"], z["loss_each"], strict=True):
        actual = margin(cosine, norm, y)
        np.testing.assert_allclose(actual, logits, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(F.cross_entropy(actual, y), each, rtol=1e-5)


def _raw(margin, z):
    """The loss's definition on an embedding that is not normalised."""
    raw, centres = (torch.from_numpy(z[name]).requires_grad_() for name in ("raw", "W"))
    y, norm = torch.from_numpy(z["y"]), raw.norm(dim=1)
    spheres = cosines(raw, centres.T, int(z["N"]))
    loss = sum(F.cross_entropy(margin(cosine, norm, y), y) for cosine in spheres)
    loss.backward()
    return loss.detach(), raw.grad.numpy(), centres.grad.numpy().T
