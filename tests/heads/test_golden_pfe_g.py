"""PFE's score, loss and fusion against its published functions."""

import numpy as np
import torch

from stages.descriptors import precision
from stages.descriptors._pooling import Templates
from stages.heads import pfe_g
from stages.heads._gaussian import mutual_likelihood
from stages.heads._scores import Gaussian
from tests.goldens import golden
from tests.heads.recipes import RECIPE


@golden("scf/pfe_g*.npz")
def test_scores(file):
    z = np.load(file)
    mu1, mu2, sigma1, sigma2 = (torch.from_numpy(z[n]) for n in ("mu1", "mu2", "sig1", "sig2"))
    score = mutual_likelihood((mu1, mu2), (sigma1, sigma2))
    np.testing.assert_allclose(score, z["pair_MLS"], rtol=1e-12)
    mu = np.concatenate([z["mu1"], 2 * z["mu2"]])
    rows = np.arange(len(mu1))
    found = Gaussian(mu, np.concatenate([z["sig1"], z["sig2"]]))(rows, rows + len(rows))
    np.testing.assert_allclose(found, z["pair_MLS"], rtol=1e-5, atol=1e-4)


@golden("scf/pfe_g*.npz")
def test_loss_of_a_batch(file):
    z = np.load(file)
    mu, labels = torch.from_numpy(z["mu1"]), torch.from_numpy(z["labels"])
    losses = pfe_g.loss(mu, torch.from_numpy(z["sig1"]).log(), None, labels, pfe_g.Params(**RECIPE))
    # The published loss, not its score, adds 1e-10 to the variances that it divides by.
    np.testing.assert_allclose(losses.mean(), z["mls_loss"], rtol=1e-6)
    same = (z["labels"][:, None] == z["labels"]) & ~np.eye(len(labels), dtype=bool)
    np.testing.assert_allclose(losses.mean(), z["neg_mls_matrix"][same].mean(), rtol=1e-6)


@golden("scf/pfe_g*.npz")
def test_fusion(file):
    """Rows 0-4 as one template; the smallest variances are the template's."""
    z = np.load(file)
    mu, sigma2, count = z["mu1"][:5].astype(np.float32), z["sig1"][:5], 5
    zeros = np.zeros(count, np.int64)
    one = Templates(zeros[:1], np.arange(count), zeros, zeros, np.ones(count, np.float32))
    params = precision.Params(flip=False)
    _, rows = precision.describe(mu, None, one, None, sigma2, params)
    np.testing.assert_allclose(rows[0], z["agg_mu_unnormalised"], atol=1e-6)
    np.testing.assert_allclose(rows[0] / np.linalg.norm(rows[0]), z["agg_mu"], atol=1e-6)
    name, fused = precision.confidence(mu, None, one, sigma2, params)
    assert name == "fused_sigma2"
    np.testing.assert_allclose(fused[0], z["agg_sigma_sq"], rtol=1e-6)
