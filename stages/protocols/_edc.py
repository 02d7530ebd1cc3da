"""Errors over the share of pairs discarded, the least trusted first: curves and their heights.

The error versus discard characteristic of ISO/IEC 29794-1, whose threshold is fixed, and MagFace's
curve (figure 6), whose threshold moves.
"""

from __future__ import annotations

import numpy as np

from stages.protocols._roc import ROUNDING

REJECTED = np.arange(0, 1, 0.05)  # shares of the pairs, of MagFace's curve


def tie_groups(trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs from the least trusted on, and where each group of equally trusted ones begins."""
    order = np.argsort(trust, kind="stable")
    rising = trust[order]
    return order, np.flatnonzero(np.append(True, rising[1:] != rising[:-1]))


def edc(
    missed: np.ndarray, weights: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share discarded and FNMR of what remains, as groups of equal trust go one by one.

    Args:
        missed: bool [n], of genuine pairs from the least trusted on.
        weights: how often each pair counts, [curves, n].
        starts: of the groups, as `tie_groups` gives them.

    Returns:
        Two float [curves, groups]; FNMR is 0 where no weight remains.
    """
    last = np.cumsum(weights[:, ::-1], axis=1, dtype=np.float64)[:, ::-1][:, starts]
    wrong = np.cumsum((weights * missed)[:, ::-1], axis=1, dtype=np.float64)[:, ::-1][:, starts]
    total = last[:, :1]
    return 1 - last / total, wrong / np.where(last > 0, last, 1)


def last_step(share: np.ndarray, x: float) -> int:
    """The last step at which no more than the share x is discarded."""
    return int(np.searchsorted(share, x + ROUNDING, side="right")) - 1


def height(share: np.ndarray, fnmr: np.ndarray, x: float) -> np.ndarray:
    """FNMR of each curve where at most the share x is discarded."""
    return np.array([line[last_step(at, x)] for at, line in zip(share, fnmr, strict=True)])


def mean_height(share: np.ndarray, fnmr: np.ndarray, x: float) -> np.ndarray:
    """Area under the steps of each curve from 0 to x, over x."""
    edges = np.append(share, np.ones((len(share), 1)), axis=1).clip(max=x)
    return np.sum(np.diff(edges, axis=1) * fnmr, axis=1) / x


def heights(share: np.ndarray, fnmr: np.ndarray, x: float) -> np.ndarray:
    """Of each curve its height at 0 and at x, and the mean between them: [3, curves]."""
    return np.stack([height(share, fnmr, 0.0), height(share, fnmr, x), mean_height(share, fnmr, x)])


def rejection_curve(
    scores: np.ndarray, same: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """MagFace's curve: FNMR after each share REJECTED of all pairs, least trusted first, is gone.

    Returns:
        FNMR, NaN where MagFace's threshold is not defined, [20]; the pairs that remain, a list; and
        the score that an accepted pair exceeds, [20].
    """
    order = np.argsort(confidence, kind="stable")
    fnmr, limit = np.full((2, len(REJECTED)), np.nan)
    kept = [order[int(share * len(order)) :] for share in REJECTED]
    for k, some in enumerate(kept):
        own, others = scores[some][same[some]], np.sort(scores[some][~same[some]])[::-1]
        last = len(others) - 1
        if len(own) and last // 100 > 0:  # last / 10 / 10 / 10, rounded down, unless 0 comes first
            limit[k] = others[last // 1000]
            fnmr[k] = np.mean(own <= limit[k])
    return fnmr, kept, limit
