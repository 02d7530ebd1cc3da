"""Search among up to a million distractors (MegaFace, Kemelmacher-Shlizerman et al., CVPR 2016).

Of every two probe images of one person, one is put into a gallery of N distractors and the other
searched for: rank-1 is the share found first. Verification takes all such pairs as genuine, and all
probes with all distractors as impostors.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field

from stages.core.index import Index
from stages.core.params import Rate, Section
from stages.protocols._bootstrap import Resampling, effective_count, weighted_share
from stages.protocols._result import Result, measure, rate_name
from stages.protocols._roc import ROUNDING
from stages.protocols._rows import Rows
from stages.protocols._search import CMC_RANKS, merge
from stages.protocols._tables import Tables
from stages.protocols._vectors import by_blocks, positions, unit

AT_A_TIME = 1 << 14  # distractors
TIE = 1e-6  # cosines nearer than this are equal: a product's last bits depend on its shape

NEEDS = ("distractors",)  # of an image set: this list


class Params(Section):
    """
    flip: compare the sums over the image and its mirror image.
    sizes: galleries of the first so many distractors; larger ones than there are distractors are
        left out, all of them always make one.
    far: false accept rates of the whole gallery; those below one impostor pair are left out.
    """

    flip: bool = True
    sizes: list[Annotated[int, Field(ge=1)]] = [10, 100, 1_000, 10_000, 100_000, 1_000_000]
    far: list[Rate] = [1e-6]


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """`rank1@n=N` and `tar@far=x` by row; of r1&r2 the gallery is seen at r1, the probes at r2.

    Raise InputError if nobody has two probes, or there are no distractors.
    """
    listed = tables["distractors"]
    place = positions(index.record, listed["record"])
    role, subject = np.asarray(listed["role"], str), np.asarray(listed["subject"], np.int64)
    probe, other = (place[(role == r) & (place >= 0)] for r in ("probe", "distractor"))
    subject = subject[(role == "probe") & (place >= 0)]
    mates = _mates(subject)
    if not len(mates) or not len(other):
        images = f"{len(mates)} pairs of one person's probes, {len(other)} distractors"
        raise tables.error("distractors", images)
    lost = int(np.sum(place < 0))
    note = f"; {lost} images lost" if lost else ""
    person = np.unique(subject[mates[:, 0]], return_inverse=True)[1]
    weights, drawn = resampling.weights(person.max() + 1), resampling.drawn(person)
    impostors = len(probe) * len(other)
    allowed = {x: int(x * impostors + ROUNDING) for x in params.far if x * impostors >= 1}
    sizes = sorted({*(n for n in params.sizes if n < len(other)), len(other)})
    results = {}
    for row, first, second in rows.images(params.flip):
        found = search(unit(second[probe]), unit(first[probe]), mates, first, other, sizes,
                       max(allowed.values(), default=-1) + 1)  # fmt: skip
        effective = effective_count(found.own, person)

        def share(hits: np.ndarray, how: str, alarms: float, effective=effective):
            return measure(
                np.mean(hits), weighted_share(hits, person, weights), len(hits), drawn, how + note,
                errors=np.sum(~hits), effective=effective, alarms=alarms,
            )  # fmt: skip

        measures = {
            f"rank1@n={n}": share(found.own > best[:, 0] + TIE, f"{n} distractors", np.inf)
            for n, best in zip(sizes, found.best, strict=True)
        }
        for x, alarms in allowed.items():
            limit = found.highest[alarms] if alarms < impostors else -np.inf
            how = f"threshold fixed; far_at_most of {impostors} impostor pairs"
            measures[rate_name("tar@far=", x)] = share(found.own > limit, how, x * impostors)
        shown = np.arange(1, found.best[-1].shape[1] + 1)
        rate = [np.mean(found.own > found.best[-1][:, k - 1] + TIE) for k in shown]
        results[row] = Result(measures, {"cmc": {"rank": shown, "rate": np.array(rate)}})
    return results


def _mates(subject: np.ndarray) -> np.ndarray:
    """All ordered pairs of different probes of one person: int64 [pairs, 2]."""
    pairs = [np.empty((0, 2), np.int64)]
    for one in np.unique(subject):
        mine = np.flatnonzero(subject == one)
        first, second = np.repeat(mine, len(mine)), np.tile(mine, len(mine))
        pairs.append(np.stack([first, second], axis=1)[first != second])
    return np.concatenate(pairs)


@dataclass(frozen=True)
class Found:
    """Outcome of the searches.

    Attributes:
        own: score of each pair of mates, float32 [pairs].
        best: for each gallery the highest scores of each pair's probe with distractors, from high
            to low, float32 [pairs, at most CMC_RANKS]. What exceeds one by less than TIE equals it.
        highest: the highest scores of all impostor pairs, from high to low.
    """

    own: np.ndarray
    best: list[np.ndarray]
    highest: np.ndarray


def search(
    probes: np.ndarray,
    enrolled: np.ndarray,
    mates: np.ndarray,
    vectors: np.ndarray,
    distractors: np.ndarray,
    sizes: list[int],
    keep: int,
) -> Found:
    """Search in galleries of the first `sizes` (rising) distractors in one pass over them.

    Args:
        probes, enrolled: unit rows, float32 [p, d]: each probe as searched for and as a mate.
        mates: (probe, enrolled) rows of each pair.
        vectors, distractors: rows `distractors` of the raw `vectors`.
        keep: how many of the highest impostor scores to return.
    """
    own = np.einsum("ij,ij->i", probes[mates[:, 0]], enrolled[mates[:, 1]])
    top = np.full((len(probes), min(CMC_RANKS, len(distractors))), -np.inf, np.float32)
    highest, best = np.empty(0, np.float32), []

    def visit(some: slice, scores: np.ndarray) -> None:
        nonlocal highest
        if keep:
            highest = merge(highest, scores, keep)
        both = np.concatenate([top[some], scores], axis=1)
        top[some] = np.partition(both, -top.shape[1], axis=1)[:, -top.shape[1] :]

    for start, end in pairwise([0, *sizes]):
        for block in range(start, end, AT_A_TIME):
            some = distractors[block : min(block + AT_A_TIME, end)]
            by_blocks(probes, unit(vectors[some]), visit)
        best.append(-np.sort(-top, axis=1)[mates[:, 0]])
    return Found(own, best, highest)
