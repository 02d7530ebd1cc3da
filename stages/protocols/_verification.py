"""Measures and curves of a list of scored pairs whose people are known."""

from __future__ import annotations

import numpy as np

from stages.protocols._bootstrap import (
    PairGroups,
    Resampling,
    effective_count,
    resampled_roc,
)
from stages.protocols._faces import Items, faces
from stages.protocols._result import Result, measure, ordering, rate_name
from stages.protocols._roc import Roc, Scores, thinned


def verification(
    scores: np.ndarray,
    same: np.ndarray,
    people: PairGroups,
    far: list[float],
    pick: str,
    resampling: Resampling,
    items: Items | None = None,
) -> Result:
    """AUC, EER and TAR at each of `far`, with intervals, and the curves roc, det and scores.

    With `items` also the tables hardest and failures.

    A FAR below one impostor pair is left out: no threshold reaches it.

    Args:
        scores, same: float32 and bool [pairs].
        people: of the sides of the pairs.
        far: target false accept rates.
        pick: `at_most` or `nearest` (see Scores.tar_nearest).
        resampling: of the people.
        items: what the sides of the pairs are.
    """
    piles = Scores(scores, same)
    roc = piles.roc
    curves = resampled_roc(
        (scores[same], people.genuine),
        (scores[~same], people.first, people.second),
        people.drawn.number,
        resampling,
    )
    auc, eer, drawn = roc.auc(), roc.eer(), people.drawn
    errors = eer * min(roc.genuine, roc.impostors)
    known = len(scores), drawn, people.people, roc.misordered()
    measures = {
        "auc": ordering(auc, curves.auc(), *known),
        "eer": ordering(eer, curves.eer(), *known, errors),
    }
    effective = effective_count(scores[same], people.person)
    far = [x for x in far if x * roc.impostors >= 1]
    for x in far:
        value = roc.tar(x) if pick == "at_most" else piles.tar_nearest(x)
        measures[rate_name("tar@far=", x)] = measure(
            value,
            curves.tar(x),
            roc.genuine,
            drawn,
            f"far_{pick} of {roc.impostors} impostor pairs",
            errors=(1 - value) * roc.genuine,
            effective=effective,
            alarms=x * roc.impostors,
        )
    pictures = {} if items is None else faces(piles, items, people.person)
    return Result(measures, pair_curves(piles, far) | pictures)


def pair_curves(piles: Scores, far: list[float]) -> dict[str, dict[str, np.ndarray]]:
    """The curves roc, det and scores; the corners of the quoted FARs and the EER stay in them."""
    roc = piles.roc
    shown = thinned(roc.fmr, roc.tmr, _quoted(roc, far))
    fmr, tmr = roc.fmr[shown], roc.tmr[shown]
    return {
        "roc": {"fmr": fmr, "tmr": tmr},
        "det": {"fmr": fmr, "fnmr": 1 - tmr},
        "scores": piles.histogram(),
    }


def _quoted(roc: Roc, far: list[float]) -> list[int]:
    crossing = int(np.searchsorted(roc.fmr + roc.tmr - 1, 0))
    return [roc.corner(x) for x in far] + [crossing - 1, crossing]
