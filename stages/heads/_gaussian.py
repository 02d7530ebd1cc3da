"""The Gaussian with a variance for each dimension (PFE, Shi and Jain, ICCV 2019)."""

from __future__ import annotations

from torch import Tensor


def mutual_likelihood(mu: tuple[Tensor, Tensor], sigma2: tuple[Tensor, Tensor]) -> Tensor:
    """-sum of (mu1 - mu2)^2 / (s1 + s2) + log(s1 + s2) over the dimensions (PFE).

    The published code's form: twice the logarithm of the likelihood that two faces share their
    latent feature, without the constant d log 2 pi.

    Args:
        mu: [B, d] each, unit.
        sigma2: variances, [B, d] each, or [B, 1] for the same in all dimensions.
    """
    both = sigma2[0] + sigma2[1]
    return -((mu[0] - mu[1]).square() / both + both.log()).sum(dim=1)


def confidences(log_sigma2: Tensor) -> dict[str, Tensor]:
    """What a head of this density says of faces: `precision` [B], one over the harmonic mean of
    the variances, their confidence and quality; and `sigma2`, the variances [B, d] or [B, 1]."""
    log_sigma2 = log_sigma2.reshape(len(log_sigma2), -1)
    return {"precision": (-log_sigma2).exp().mean(dim=1), "sigma2": log_sigma2.exp()}
