"""How every comparison is taken: both sides in one process, in turns, medians."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what is timed.
        ours_s, theirs_s: median seconds of this project and of the published algorithm or library.
        target: ratio theirs / ours to reach.
        best: best ratio known, or None.
        limit_share: seconds of the limit (matrix product, memory pass) over ours, or None.
        note: sizes, and what "theirs" is.
        cause: of a ratio below the target, as far as known; a sentence.
    """

    name: str
    ours_s: float
    theirs_s: float
    target: float
    best: float | None = None
    limit_share: float | None = None
    note: str = ""
    cause: str = ""

    @property
    def ratio(self) -> float:
        return self.theirs_s / self.ours_s

    def as_dict(self) -> dict:
        return asdict(self) | {"ratio": self.ratio}


def alternate(*tasks: Callable[[], object], rounds: int = 5) -> list[float]:
    """Median seconds of each task; tasks take turns, after one round that is not counted."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for round_ in range(rounds + 1):
        for task, taken in zip(tasks, seconds, strict=True):
            start = time.perf_counter()
            task()
            if round_:
                taken.append(time.perf_counter() - start)
    return [median(taken) for taken in seconds]
