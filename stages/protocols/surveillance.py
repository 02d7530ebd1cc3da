"""Open-set search among faces of native size (QMUL-SurvFace; BTNet, section 4.3, table b).

Each image is embedded by the branch that fits its own size: its larger, smaller or mean side is
rounded down (`floor`), to the nearest (`near`, ties down) or up (`ceil`) to a branch's resolution.
A person's prototype is the mean of the raw embeddings of all gallery images. The row `trunk` embeds
every image at full size. One pass, no mirror images. The set must not be cropped (`align: none`):
the sizes are those of the images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from stages.core.index import Index
from stages.core.params import Rate, Section
from stages.protocols._bootstrap import Resampling, effective_count
from stages.protocols._result import Result, measure, ordering
from stages.protocols._rows import Rows
from stages.protocols._tables import Tables
from stages.protocols._vectors import by_blocks, positions, unit

FULL_SIZE = 112
LIST_LENGTH = 20  # the hit must be among so many candidates
GRID = 1000  # thresholds

NEEDS = ("surveillance",)  # of an image set: this list


class Params(Section):
    """
    indicators: what of width and height counts (avg: their mean, rounded down).
    rules: how the indicator chooses among the resolutions.
    fpir: false positive identification rates; those below one unmated probe are left out.
    """

    indicators: list[Literal["max", "min", "avg"]] = ["max", "min", "avg"]
    rules: list[Literal["floor", "near", "ceil"]] = ["floor", "near", "ceil"]
    fpir: list[Rate] = [0.3, 0.2, 0.1, 0.01]


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """TPIR20 at each FPIR, and AUC, by row: one model for all sizes, or a size's own by a rule.

    Raise InputError if a role has no images, or there are rules and no sizes for them.
    """
    listed = tables["surveillance"]
    place = positions(index.record, listed["record"])
    role, subject = np.asarray(listed["role"], str), np.asarray(listed["subject"], np.int64)
    place, role, subject = place[place >= 0], role[place >= 0], subject[place >= 0]
    _check(tables, role, subject)
    results = {
        row: _score(rows.read(model, "embedding")[place], role, subject, params, resampling)
        for row, model in ({"trunk": rows.sizes[FULL_SIZE]} | rows.external).items()
    }
    if len(rows.sizes) == 1:
        return results
    _check_sizes(tables, index)
    embeddings = {size: rows.read(model, "embedding") for size, model in rows.sizes.items()}
    for indicator, rule in product(params.indicators, params.rules):
        pixels = indicator_of(indicator, index.width, index.height)
        size = chosen_size(pixels, rule, sorted(rows.sizes))
        vectors = np.empty((len(place), embeddings[FULL_SIZE].shape[1]), np.float32)
        for one, embedding in embeddings.items():
            mine = size[place] == one
            vectors[mine] = embedding[place[mine]]
        results[f"{indicator}+{rule}"] = _score(vectors, role, subject, params, resampling)
    return results


def indicator_of(indicator: str, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The size of each image that counts, pixels."""
    if indicator == "max":
        return np.maximum(width, height)
    if indicator == "min":
        return np.minimum(width, height)
    return (np.asarray(width, np.int64) + height) // 2


def chosen_size(pixels: np.ndarray, rule: str, sizes: list[int]) -> np.ndarray:
    """The resolution, one of rising `sizes`, at which images of `pixels` are embedded."""
    rising = np.array(sizes)
    if rule == "floor":
        number = np.searchsorted(rising, pixels, side="right") - 1
    elif rule == "ceil":
        number = np.searchsorted(rising, pixels, side="left")
    else:
        number = np.searchsorted((rising[1:] + rising[:-1]) / 2, pixels, side="left")
    return rising[np.clip(number, 0, len(rising) - 1)]


def prototypes(vectors: np.ndarray, subject: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Persons in ascending order, and the mean of the raw vectors of each, float32 [persons, d]."""
    persons, number, count = np.unique(subject, return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    total = np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
    return persons, (total / count[:, None]).astype(np.float32)


@dataclass(frozen=True)
class OpenSet:
    """Counts at rising thresholds; a score is above a threshold if it is greater.

    Attributes:
        thresholds: float32 [GRID].
        hits: mated probes of each person found above each threshold, [persons, GRID].
        mated: mated probes of each person, [persons].
        own: score of each mated probe with its person.
        best: highest score of each unmated probe.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    mated: np.ndarray
    own: np.ndarray
    best: np.ndarray

    def tpir(self) -> np.ndarray:
        return self.hits.sum(axis=0) / self.mated.sum()

    def fpir(self) -> np.ndarray:
        everyone = np.zeros(self.unmated, np.int64)
        return _above(self.thresholds, self.best, everyone, 1)[0] / self.unmated

    @property
    def unmated(self) -> int:
        return len(self.best)


def open_set(
    gallery: np.ndarray, mated: np.ndarray, mate: np.ndarray, unmated: np.ndarray
) -> OpenSet:
    """Search unit rows: `mated` probes whose person is gallery row `mate`, and `unmated` ones.

    The thresholds span evenly the lowest listed or unmated score to the highest unmated one, so
    that FPIR runs from 1 to 0.
    """
    length = min(LIST_LENGTH, len(gallery))
    own, best = np.empty(len(mated), np.float32), np.empty(len(unmated), np.float32)
    listed, lowest = np.empty(len(mated), bool), np.float32(np.inf)

    def visit_mated(some: slice, scores: np.ndarray) -> None:
        nonlocal lowest
        own[some] = scores[np.arange(len(scores)), mate[some]]
        listed[some] = np.sum(scores >= own[some, None], axis=1) <= length
        last = np.partition(scores, -length, axis=1)[:, -length]
        lowest = min(lowest, last.min())

    def visit_unmated(some: slice, scores: np.ndarray) -> None:
        best[some] = scores.max(axis=1)

    by_blocks(mated, gallery, visit_mated)
    by_blocks(unmated, gallery, visit_unmated)
    grid = np.linspace(min(lowest, best.min()), best.max(), GRID, dtype=np.float32)
    found = np.where(listed, own, -np.inf).astype(np.float32)
    hits = _above(grid, found, mate, len(gallery))
    return OpenSet(grid, hits, np.bincount(mate, minlength=len(gallery)), own, best)


def tpir_at(fpir: float, alarm_rates: np.ndarray, hit_rates: np.ndarray) -> np.ndarray:
    """Hit rate where the alarm rate is nearest to `fpir`, the first such threshold; last axis."""
    distance = np.abs(alarm_rates.astype(np.float32) - np.float32(fpir))
    nearest = np.argmin(distance, axis=-1)[..., None]
    return np.take_along_axis(hit_rates, nearest, axis=-1)[..., 0]


def area(alarm_rates: np.ndarray, hit_rates: np.ndarray) -> np.ndarray:
    """Area of the hit rate over the alarm rate, which falls along the last axis; trapezoids."""
    steps = alarm_rates[..., :-1] - alarm_rates[..., 1:]
    return np.sum(steps * (hit_rates[..., :-1] + hit_rates[..., 1:]), axis=-1) / 2


def _score(
    vectors: np.ndarray,
    role: np.ndarray,
    subject: np.ndarray,
    params: Params,
    resampling: Resampling,
) -> Result:
    persons, means = prototypes(vectors[role == "gallery"], subject[role == "gallery"])
    mate = positions(persons, subject[role == "mated"])
    counts = open_set(
        unit(means), unit(vectors[role == "mated"]), mate, unit(vectors[role == "unmated"])
    )
    hits, alarms = counts.tpir(), counts.fpir()
    hit_samples, alarm_samples = _resampled(counts, resampling)
    mated = persons[counts.mated > 0]
    drawn = resampling.drawn(mated, "mated people, and over unmated images")
    auc, samples = float(area(alarms, hits)), area(alarm_samples, hit_samples)
    known = min(len(mated), counts.unmated), (1 - auc) * len(mate) * counts.unmated
    measures = {"auc": ordering(auc, samples, len(mate), drawn, *known)}
    effective = effective_count(counts.own, mate)
    for fpir in (x for x in params.fpir if x * counts.unmated >= 1):
        value = float(tpir_at(fpir, alarms, hits))
        measures[f"tpir20@fpir={fpir:g}"] = measure(
            value,
            tpir_at(fpir, alarm_samples, hit_samples),
            len(mate),
            drawn,
            "survface_grid",
            errors=(1 - value) * len(mate),
            effective=effective,
            alarms=fpir * counts.unmated,
        )
    spread = np.unique(np.linspace(0, GRID - 1, 500).round().astype(int))
    quoted = [int(np.argmin(np.abs(alarms - x))) for x in params.fpir]
    shown = np.union1d(spread[: 500 - len(quoted)], [*quoted, GRID - 1])[::-1]
    return Result(measures, {"open_set": {"fpir": alarms[shown], "tpir": hits[shown]}})


def _resampled(counts: OpenSet, resampling: Resampling) -> tuple[np.ndarray, np.ndarray]:
    """Hit and alarm rates of each replicate, [replicates, GRID] each."""
    present = counts.mated > 0
    weights = resampling.weights(int(present.sum())).astype(np.float64)
    total = weights @ counts.mated[present]
    hits = (weights @ counts.hits[present]) / np.maximum(total, 1)[:, None]
    images, groups = resampling.grouped(np.arange(counts.unmated))
    # of their own, or the first people and the first images would always come together
    drawn = replace(resampling, seed=resampling.seed + 1).weights(groups).astype(np.float64)
    passed = drawn @ _above(counts.thresholds, counts.best, images, groups)
    return hits, passed / (drawn @ np.bincount(images, minlength=groups))[:, None]


def _above(grid: np.ndarray, scores: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """How many scores of each group are greater than each threshold: [groups, GRID]."""
    bins = len(grid) + 1
    place = np.searchsorted(grid, scores, side="left")  # thresholds below the score
    cells = np.bincount(group * bins + place, minlength=groups * bins).reshape(groups, bins)
    return np.cumsum(cells[:, ::-1], axis=1)[:, ::-1][:, 1:]


def _check_sizes(tables: Tables, index: Index) -> None:
    if np.all(index.width == FULL_SIZE) and np.all(index.height == FULL_SIZE):
        problem = f"all images are {FULL_SIZE}x{FULL_SIZE}: crops, whose own sizes are lost"
        raise tables.error("surveillance", problem, remedy="set `align: none` for this data set")


def _check(tables: Tables, role: np.ndarray, subject: np.ndarray) -> None:
    for one in ("gallery", "mated", "unmated"):
        if not np.any(role == one):
            raise tables.error("surveillance", f"no {one} images")
    strangers = np.setdiff1d(subject[role == "mated"], subject[role == "gallery"])
    if len(strangers):
        problem = f"mated person {strangers[0]} has no gallery image"
        raise tables.error("surveillance", problem)
