"""The von Mises-Fisher density on the sphere, p(z) = C_d(k) exp(k mu.z), computed without overflow.

C_d(k) = k^v / ((2 pi)^{d/2} I_v(k)), v = d/2 - 1.
"""

from __future__ import annotations

import math

from torch import Tensor

from stages.core.bessel import log_ive

KAPPA_FLOOR = 1e-6  # of the fused concentration: 0 for opposite faces of equal kappa


def bessel_order(dimensions: int) -> float:
    """v = d/2 - 1."""
    return dimensions / 2 - 1


def log_peak(log_kappa: Tensor, dimensions: int) -> Tensor:
    """log(C_d(k) e^k): the log density at the mode, finite for every finite k > 0.

    log C_d(k) alone is about -k, in which the rest drowns in float32.
    """
    order = bessel_order(dimensions)
    constant = dimensions / 2 * math.log(2 * math.pi)
    return order * log_kappa - log_ive(order, log_kappa.exp()) - constant


def mutual_likelihood(
    cosine: Tensor,
    kappa: tuple[Tensor, Tensor],
    dimensions: int,
    peaks: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Log likelihood [B] that two faces share their latent feature (SCF, Eqn 13), on the unit
    sphere: log C_d(k1) + log C_d(k2) - log C_d(k~), k~ = |k1 mu1 + k2 mu2|.

    On a sphere of radius r it is lower by d log r, whatever the faces.

    Args:
        cosine: [B], of the two directions.
        kappa: [B] each, > 0.
        dimensions: d.
        peaks: `log_peak` of the two kappas, where it is known already.
    """
    if peaks is None:
        peaks = (log_peak(kappa[0].log(), dimensions), log_peak(kappa[1].log(), dimensions))
    total = kappa[0] + kappa[1]
    apart = 2 * kappa[0] * kappa[1] * (1 - cosine)
    fused = (total.square() - apart).clamp_min(KAPPA_FLOOR**2).sqrt()
    surplus = apart / (total + fused)  # k1 + k2 - k~ without cancellation
    return peaks[0] + peaks[1] - log_peak(fused.log(), dimensions) - surplus


def confidences(log_kappa: Tensor) -> dict[str, Tensor]:
    """What a head of this density says of faces: `kappa` [B], their confidence and quality."""
    return {"kappa": log_kappa.exp()}
