"""One and N spheres against MultiFace's heads."""

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses import arcface, cosface, softmax
from stages.losses._classifier import Classifier
from tests.goldens import golden
from tests.losses.batches import run

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
    classifier, y = _classifier(margin_of(file, z), z), torch.from_numpy(z["y"])
    cosines = classifier.cosines(torch.from_numpy(z["emb"]))
    norm = torch.ones(len(y))
    for cosine, logits, each in zip(cosines, z["logits"], z["loss_each"], strict=True):
        actual = classifier.margin(cosine, norm, y).detach()
        np.testing.assert_allclose(actual, logits, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(F.cross_entropy(actual, y), each, rtol=1e-5)


def _classifier(margin, z) -> Classifier:
    classifier = Classifier(z["W"].shape[0], z["W"].shape[1], margin, int(z["N"]))
    with torch.no_grad():
        classifier.centres.copy_(torch.from_numpy(z["W"].T.copy()))
    return classifier


def _raw(margin, z):
    """The classifier's parts on an embedding that is not normalised."""
    classifier, y = _classifier(margin, z), torch.from_numpy(z["y"])
    raw = torch.from_numpy(z["raw"]).requires_grad_()
    norm = raw.norm(dim=1)
    loss = sum(F.cross_entropy(margin(c, norm, y), y) for c in classifier.cosines(raw))
    loss.backward()
    return loss.detach(), raw.grad.numpy(), classifier.centres.grad.numpy()
