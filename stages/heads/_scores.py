"""How well two uncertain faces agree (SCF, Li et al., CVPR 2021)."""

from __future__ import annotations

import math

from torch import Tensor

from stages.heads._vmf import log_peak

KAPPA_FLOOR = 1e-6  # of the fused concentration: 0 for opposite faces of equal kappa


def mutual_likelihood(
    mu1: Tensor, kappa1: Tensor, mu2: Tensor, kappa2: Tensor, radius: float = 1.0
) -> Tensor:
    """Log likelihood [B] that two faces share their latent feature (Eqn 13).

    log C_d(k1) + log C_d(k2) - log C_d(k~) - d log r, k~ = |k1 mu1 + k2 mu2|.

    Args:
        mu1, mu2: [B, d], unit.
        kappa1, kappa2: [B], > 0.
        radius: r; it shifts all scores alike.
    """
    dimensions = mu1.shape[1]
    cosine = (mu1 * mu2).sum(dim=1)
    total = kappa1 + kappa2
    apart = 2 * kappa1 * kappa2 * (1 - cosine)
    fused = (total.square() - apart).clamp_min(KAPPA_FLOOR**2).sqrt()
    surplus = apart / (total + fused)  # k1 + k2 - k~ without cancellation
    peaks = [log_peak(kappa.log(), dimensions) for kappa in (kappa1, kappa2, fused)]
    return peaks[0] + peaks[1] - peaks[2] - surplus - dimensions * math.log(radius)
