"""The von Mises-Fisher density on the sphere, p(z) = C_d(k) exp(k mu.z), computed without overflow.

C_d(k) = k^v / ((2 pi)^{d/2} I_v(k)), v = d/2 - 1.
"""

from __future__ import annotations

import math

from torch import Tensor

from stages.core.bessel import log_ive


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
