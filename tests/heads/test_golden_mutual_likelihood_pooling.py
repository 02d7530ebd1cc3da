"""Mutual likelihood and pooling by kappa (SCF, Eqn 13 and 14) against 50-digit values."""

import re

import numpy as np
import torch

from stages.core.bessel import log_ive
from stages.descriptors import kappa
from stages.descriptors._pooling import Templates
from stages.heads._scores import VonMises
from stages.heads._vmf import mutual_likelihood
from tests.goldens import golden

CASE = re.compile(r"(d(\d+)_r([\d.]+))__score_true_no_r")
GUARD = 1e-6


def cases(z):
    found = [match for key in z.files if (match := CASE.fullmatch(key))]
    assert found
    return [(match[1] + "__", int(match[2]), float(match[3])) for match in found]


@golden("scf/mutual_likelihood_pooling*.npz")
def test_scores(file):
    z = np.load(file)
    for prefix, dimensions, radius in cases(z):
        faces = {n: torch.from_numpy(z[prefix + n]) for n in ("mu1", "kappa1", "mu2", "kappa2")}
        cosine = (faces["mu1"] * faces["mu2"]).sum(dim=1)
        score = mutual_likelihood(cosine, (faces["kappa1"], faces["kappa2"]), dimensions)
        np.testing.assert_allclose(score, z[prefix + "score_true_no_r"], rtol=1e-10, atol=1e-9)
        shifted = score - dimensions * np.log(radius)
        expected = z[prefix + "score_true_minus_dlogr"]
        np.testing.assert_allclose(shifted, expected, rtol=1e-10, atol=1e-9)
        swapped = mutual_likelihood(cosine, (faces["kappa2"], faces["kappa1"]), dimensions)
        torch.testing.assert_close(score, swapped)


@golden("scf/mutual_likelihood_pooling*.npz")
def test_scores_of_listed_pairs(file):
    """From float32 directions, as features are stored."""
    z = np.load(file)
    for prefix, _, _ in cases(z):
        count = len(z[prefix + "mu1"])
        mu = np.concatenate([z[prefix + "mu1"], 3 * z[prefix + "mu2"]]).astype(np.float32)
        kappa = np.concatenate([z[prefix + "kappa1"], z[prefix + "kappa2"]])
        rows = np.arange(count)
        found = VonMises(mu, kappa)(rows, rows + count)
        expected = z[prefix + "score_true_no_r"]
        rounding = 1e-6 * (kappa[:count] + kappa[count:])  # of the cosine, times kappa
        assert (np.abs(found - expected) <= 1e-5 * np.abs(expected) + rounding).all()


@golden("scf/mutual_likelihood_pooling*.npz")
def test_pooling(file):
    z = np.load(file)
    if "pool_mu" not in z:
        return
    mu, count = z["pool_mu"].astype(np.float32), len(z["pool_mu"])
    rows, zeros = np.arange(count), np.zeros(count, np.int64)
    one = Templates(zeros[:1], rows, zeros, zeros, np.ones(count, np.float32))
    params = kappa.Params(flip=False, media=False)
    _, pooled = kappa.describe(mu, None, one, None, z["pool_kappa"], params)
    np.testing.assert_allclose(pooled[0], z["pool_out"], atol=1e-6)
    unit = pooled[0] / np.linalg.norm(pooled[0])
    np.testing.assert_allclose(unit, z["pool_out_unit"], atol=1e-6)
    for independent, expected in (
        (False, z["pool_kappa"].max()),
        (True, np.linalg.norm(z["pool_kappa"] @ z["pool_mu"])),
    ):
        params = kappa.Params(flip=False, independent=independent)
        name, fused = kappa.confidence(mu, None, one, z["pool_kappa"], params)
        assert name == "fused_kappa"
        np.testing.assert_allclose(fused, [expected], rtol=1e-5)


@golden("scf/mutual_likelihood_pooling*.npz")
def test_the_guard_of_the_published_loss_would_spoil_the_score(file):
    """With log(1e-6 + ive) in place of log ive the score is another one altogether."""
    z = np.load(file)
    for prefix, dimensions, radius in cases(z):
        k1, k2, fused = (
            _guarded_log_normaliser(z[prefix + name], dimensions)
            for name in ("kappa1", "kappa2", "kappa_fused")
        )
        if prefix + "score_guarded_1e-6" not in z:
            continue
        guarded = k1 + k2 - fused - dimensions * np.log(radius)
        np.testing.assert_allclose(guarded, z[prefix + "score_guarded_1e-6"], atol=1e-9)


def _guarded_log_normaliser(concentration: np.ndarray, dimensions: int) -> np.ndarray:
    order = dimensions / 2 - 1
    ive = np.exp(log_ive(order, torch.from_numpy(concentration)).numpy())
    constant = dimensions / 2 * np.log(2 * np.pi)
    return order * np.log(concentration) - constant - np.log(GUARD + ive) - concentration
