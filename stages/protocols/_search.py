"""Searches of a gallery in blocks: nothing of the size probes x gallery is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.protocols._bootstrap import Drawn, effective_count, weighted_share
from stages.protocols._result import Measure, measure
from stages.protocols._vectors import by_blocks

CMC_RANKS = 20  # length of the curve


@dataclass(frozen=True)
class Search:
    """Outcome of each probe.

    Attributes:
        own: score of the entry of the probe's person, float32 [probes]; -inf without one.
        rank: its place among all entries, 1 the best; equal scores of others come before it.
            0 without such an entry.
        other: highest score of any other person's entry, float32 [probes].
        highest: the `keep` highest scores of probes with other people's entries, from high to low.
    """

    own: np.ndarray
    rank: np.ndarray
    other: np.ndarray
    highest: np.ndarray


def search(probes: np.ndarray, gallery: np.ndarray, mate: np.ndarray, keep: int = 0) -> Search:
    """Search every probe in the gallery.

    Args:
        probes, gallery: unit rows, float32 [p, d] and [g, d]; one gallery row a person.
        mate: gallery row of each probe's person, -1 where there is none.
        keep: how many of the highest scores between different people to return.
    """
    own = np.full(len(probes), -np.inf, np.float32)
    other = np.full(len(probes), -np.inf, np.float32)
    rank = np.zeros(len(probes), np.int64)
    highest = np.empty(0, np.float32)

    def visit(some: slice, scores: np.ndarray) -> None:
        nonlocal highest
        mated = np.flatnonzero(mate[some] >= 0)
        cells = (mated, mate[some][mated])
        own[some][mated] = scores[cells]
        rank[some] = _count_at_least(scores, own[some])
        scores[cells] = -np.inf
        other[some] = scores.max(axis=1, initial=-np.inf)
        if keep:
            highest = merge(highest, scores, keep)

    by_blocks(probes, gallery, visit)
    rank[mate < 0] = 0
    return Search(own, rank, other, highest[np.isfinite(highest)])


def _count_at_least(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    count = np.empty(len(own), np.int64)
    for i in range(len(own)):  # a row at a time stays in the cache
        count[i] = np.count_nonzero(scores[i] >= own[i])
    return count


def merge(highest: np.ndarray, scores: np.ndarray, keep: int) -> np.ndarray:
    """The `keep` highest of both, from high to low."""
    rising = scores.reshape(-1)
    if len(highest) == keep:
        rising = rising[rising > highest[-1]]
    rising = np.concatenate([highest, rising])
    if len(rising) > keep:
        rising = np.partition(rising, len(rising) - keep)[-keep:]
    return np.sort(rising)[::-1]


def closed_set(
    rank: np.ndarray,
    own: np.ndarray,
    person: np.ndarray,
    entries: int,
    ranks: Sequence[int],
    weights: np.ndarray,
    drawn: Drawn,
    note: str,
) -> tuple[dict[str, Measure], dict[str, dict[str, np.ndarray]]]:
    """`rank<k>`, the share of searches whose mate is among the first k, and the curve `cmc`.

    Args:
        rank: of each search's mate, from 1, int64 [searches].
        own: score of it, which says how alike the searches of a person are.
        person: of each search, 0..n-1.
        entries: of the gallery; no rank from it on is given.
        ranks: k.
        weights, drawn: of the replicates.
        note: what else to say of the method.
    """
    effective = effective_count(own, person)
    measures = {
        f"rank{k}": measure(
            np.mean(rank <= k),
            weighted_share(rank <= k, person, weights),
            len(rank),
            drawn,
            note,
            errors=np.sum(rank > k),
            effective=effective,
        )
        for k in ranks
        if k < entries
    }
    shown = np.arange(1, min(CMC_RANKS, entries) + 1)
    rate = np.array([np.mean(rank <= k) for k in shown])
    return measures, {"cmc": {"rank": shown, "rate": rate}}
