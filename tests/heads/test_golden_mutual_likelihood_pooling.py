"""Mutual likelihood (SCF, Eqn 13) against 50-digit values."""

import re

import numpy as np
import torch

from stages.core.bessel import log_ive
from stages.heads._scores import mutual_likelihood
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
    for prefix, _, radius in cases(z):
        faces = [torch.from_numpy(z[prefix + n]) for n in ("mu1", "kappa1", "mu2", "kappa2")]
        for r, name in ((1.0, "score_true_no_r"), (radius, "score_true_minus_dlogr")):
            score = mutual_likelihood(*faces, radius=r)
            np.testing.assert_allclose(score, z[prefix + name], rtol=1e-10, atol=1e-9)
            swapped = mutual_likelihood(*faces[2:], *faces[:2], radius=r)
            torch.testing.assert_close(score, swapped)


@golden("scf/mutual_likelihood_pooling*.npz")
def test_the_guard_of_the_published_loss_would_spoil_the_score(file):
    """With log(1e-6 + ive) in place of log ive the score is another one altogether."""
    z = np.load(file)
    for prefix, dimensions, radius in cases(z):
        k1, k2, fused = (
            _guarded_log_normaliser(z[prefix + name], dimensions)
            for name in ("kappa1", "kappa2", "kappa_fused")
        )
        guarded = k1 + k2 - fused - dimensions * np.log(radius)
        np.testing.assert_allclose(guarded, z[prefix + "score_guarded_1e-6"], atol=1e-9)


def _guarded_log_normaliser(kappa: np.ndarray, dimensions: int) -> np.ndarray:
    order = dimensions / 2 - 1
    ive = np.exp(log_ive(order, torch.from_numpy(kappa)).numpy())
    constant = dimensions / 2 * np.log(2 * np.pi)
    return order * np.log(kappa) - constant - np.log(GUARD + ive) - kappa
