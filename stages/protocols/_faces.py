"""Which images to look at: the hardest pairs, and the people who fail most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.protocols._roc import Scores

HARDEST = 6  # pairs of each kind
FAILING = 8  # people
FAR = 0.01  # at which a genuine pair is missed or not


class Items(NamedTuple):
    """What the sides of pairs are.

    Attributes:
        left, right: item of each side, int64 [pairs].
        image: row of the aligned index that shows each item; -1 where none does.
    """

    left: np.ndarray
    right: np.ndarray
    image: np.ndarray


def faces(piles: Scores, items: Items, person: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The tables `hardest` and `failures`.

    Args:
        piles: scores of the pairs.
        items: their sides.
        person: of each genuine pair.
    """
    genuine = np.flatnonzero(piles.same)
    own = piles.scores[genuine]
    low = genuine[_lowest(own)]
    high = _lowest(np.where(piles.same, np.inf, -piles.scores))
    chosen = np.concatenate([low, high])
    hardest = {
        "kind": np.repeat(["genuine", "impostor"], [len(low), len(high)]),
        "score": piles.scores[chosen],
        "first": items.image[items.left[chosen]],
        "second": items.image[items.right[chosen]],
    }
    return {"hardest": hardest, "failures": _failures(piles, items, genuine, own, person)}


def _lowest(values: np.ndarray) -> np.ndarray:
    """Where the HARDEST lowest finite values are, from the lowest on."""
    if len(values) > HARDEST:
        some = np.argpartition(values, HARDEST)[:HARDEST]
    else:
        some = np.arange(len(values))
    some = some[np.lexsort((some, values[some]))]
    return some[np.isfinite(values[some])]


def _failures(
    piles: Scores, items: Items, genuine: np.ndarray, own: np.ndarray, person: np.ndarray
) -> dict[str, np.ndarray]:
    """The people most of whose genuine pairs are missed, and an image of the worst pair of each."""
    accepted = piles.roc.true[piles.roc.corner(FAR)]
    rising = np.append(piles.genuine, np.inf)
    missed = own < rising[len(own) - accepted]
    names, number, trials = np.unique(person, return_inverse=True, return_counts=True)
    count = np.bincount(number, missed, len(names)).astype(np.int64)
    worst = np.lexsort((names, -count, -count / trials))[:FAILING]
    worst = worst[count[worst] > 0]
    hardest = [np.flatnonzero(number == k)[np.argmin(own[number == k])] for k in worst]
    images = items.image[items.left[genuine[hardest]]] if hardest else np.empty(0, np.int64)
    return {"person": names[worst], "missed": count[worst], "pairs": trials[worst], "image": images}
