"""Scores of pairs other than the cosine: how likely two uncertain faces share their feature.

A score is called with the rows of both sides and gives float32 numbers, higher for more alike, as
a protocol's own cosines are had: `VonMises(mu, kappa)(left, right)`.
"""

from __future__ import annotations

import numpy as np
import torch

from stages.heads import _gaussian, _vmf

CELLS_A_BLOCK = 1 << 20  # numbers of one side's vectors at a time: 4 MiB


class VonMises:
    """SCF's mutual likelihood score (Li et al., CVPR 2021, Eqn 13).

    Args:
        mu: float [n, d], of images or templates; brought to length 1 here.
        kappa: float [n], > 0.
    """

    def __init__(self, mu: np.ndarray, kappa: np.ndarray) -> None:
        self.mu = _unit(mu)
        self.kappa = torch.tensor(np.asarray(kappa, np.float64))
        self.peak = _vmf.log_peak(self.kappa.log(), mu.shape[1])

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Scores float32 [pairs] of rows `left` with rows `right`, int [pairs] each."""
        return _blocked(self._block, left, right, self.mu.shape[1])

    def _block(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        cosine = (self.mu[i] * self.mu[j]).sum(dim=1, dtype=torch.float64).clamp(-1, 1)
        kappas, peaks = (self.kappa[i], self.kappa[j]), (self.peak[i], self.peak[j])
        return _vmf.mutual_likelihood(cosine, kappas, self.mu.shape[1], peaks)


class Gaussian:
    """PFE's mutual likelihood score (Shi and Jain, ICCV 2019).

    Args:
        mu: float [n, d], of images or templates; brought to length 1 here.
        sigma2: variances, float [n, d], or [n, 1] for the same in all dimensions.
    """

    def __init__(self, mu: np.ndarray, sigma2: np.ndarray) -> None:
        self.mu = _unit(mu)
        self.sigma2 = torch.tensor(np.asarray(sigma2, np.float32).reshape(len(mu), -1))

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Scores float32 [pairs] of rows `left` with rows `right`, int [pairs] each."""
        return _blocked(self._block, left, right, self.mu.shape[1])

    def _block(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        variances = (self.sigma2[i], self.sigma2[j])
        return _gaussian.mutual_likelihood((self.mu[i], self.mu[j]), variances)


def _unit(vectors: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(np.asarray(vectors, np.float32)))


@torch.inference_mode()
def _blocked(block, left: np.ndarray, right: np.ndarray, dimensions: int) -> np.ndarray:
    left, right = (torch.as_tensor(np.asarray(side, np.int64)) for side in (left, right))
    size = max(1, CELLS_A_BLOCK // dimensions)
    blocks = zip(left.split(size), right.split(size), strict=True)
    scores = [block(i, j).float() for i, j in blocks]
    return torch.cat(scores).numpy() if scores else np.empty(0, np.float32)
