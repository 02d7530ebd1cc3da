"""Open- and closed-set 1:N search of templates (IJB-B, IJB-C).

Two definitions go by one name in the literature. `iso` (ISO/IEC 19795-1, NIST, IJB's own): each
gallery is searched by itself; probes of people outside it give the false alarms; a hit is the
probe's person at rank 1 and above the threshold. `merged` (insightface's and BTNet's scripts): all
galleries are one that holds every probe's person; the threshold admits a number of all wrong pairs
equal to a share of the probes; rank does not matter. `merged` is the smaller figure by far.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from stages.core.index import Index
from stages.core.params import Rank, Rate, Section
from stages.protocols._bootstrap import (
    Drawn,
    Resampling,
    effective_count,
    weighted_share,
)
from stages.protocols._result import Result, measure
from stages.protocols._roc import ROUNDING
from stages.protocols._rows import Rows
from stages.protocols._search import Search, closed_set, search
from stages.protocols._subjects import template_ids
from stages.protocols._tables import Tables
from stages.protocols._vectors import positions, unit

OPEN_SET_POINTS = 200
REPLICATES_AT_A_TIME = 64
PEOPLE = "people of the probes"

NEEDS = ("galleries",)  # of an image set: this list


class Params(Section):
    """
    definition: iso or merged (see the head of this file).
    fpir: false positive identification rates; those below one search are left out.
    ranks: of the closed-set rates.
    descriptor: the pooling that the rows of settings r1&r2 use.
    fused: rows r1&r2 search templates of which every image enters as the sum of its r1 copy and
        its mirrored r2 copy (BTNet's IJB-C tables); otherwise the gallery is seen at r1, the probes
        at r2.
    threshold: of iso: at_most = lowest threshold whose FPIR does not exceed the target; truncated
        (AdaFace's IJB-S) and rounded (its TinyFace) = the score of the last of that many false
        alarms, which a mate must reach, their number rounded down or to the nearest.
    """

    definition: Literal["iso", "merged"] = "iso"
    fpir: list[Rate] = [0.01, 0.1]
    ranks: list[Rank] = [1, 5, 10]
    descriptor: Literal["mean", "norm"] = "mean"
    fused: bool = False
    threshold: Literal["at_most", "truncated", "rounded"] = "at_most"


@dataclass(frozen=True)
class Gallery:
    """Rows of the descriptors that are enrolled, and for each probe its mate among them or -1."""

    templates: np.ndarray
    mate: np.ndarray


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """Rank-k rates and TPIR at each FPIR by row.

    Raise InputError if a list names an unknown template, enrols a person twice in one gallery, if
    no probe has its person in a gallery, or (merged) one has not.
    """
    ids, probes = template_ids(tables), tables["probes"]
    probe_rows = _known(tables, ids, "probes")
    galleries = _galleries(tables, ids, probes["subject"], params.definition)
    person = np.unique(probes["subject"], return_inverse=True)[1]
    scored = _iso if params.definition == "iso" else _merged
    results = {}
    for row, first, second in rows.templates(params.descriptor, params.fused):
        enrolled, searched = unit(first), unit(second)[probe_rows]
        keep = _alarms(len(searched), max(params.fpir, default=0)) if scored is _merged else 0
        found = [search(searched, enrolled[g.templates], g.mate, keep) for g in galleries]
        results[row] = scored(found, galleries, person, params, resampling)
    return results


def _galleries(
    tables: Tables, ids: np.ndarray, probe_subject: np.ndarray, definition: str
) -> list[Gallery]:
    listed = tables["galleries"]
    templates = _known(tables, ids, "galleries")
    names = np.asarray(listed["gallery"], str)
    if definition == "merged":
        names = np.full(len(names), "all galleries together")
    galleries = []
    for name in np.unique(names):
        subject = np.asarray(listed["subject"])[names == name]
        twice = np.unique(subject, return_counts=True)
        if twice[1].max() > 1:
            who = f"subject {twice[0][np.argmax(twice[1])]}"
            raise tables.error(
                "galleries",
                f"{who} is enrolled more than once in {name}",
                remedy="merge its templates into one",
            )
        mate = positions(subject, probe_subject)
        if definition == "merged" and np.any(mate < 0):
            raise tables.error(
                "probes",
                f"subject {probe_subject[np.argmin(mate)]} is in no gallery",
                remedy="use `definition: iso`, which allows for strangers",
            )
        galleries.append(Gallery(templates[names == name], mate))
    if all(np.all(gallery.mate < 0) for gallery in galleries):
        problem = "none of its subjects is in a gallery"
        raise tables.error("probes", problem, remedy="number people alike in both lists")
    if definition == "merged" and len(templates) < 2:
        raise tables.error("galleries", "one entry: there is no wrong one to find")
    return galleries


def _known(tables: Tables, ids: np.ndarray, name: str) -> np.ndarray:
    listed = tables[name]["template"]
    rows = positions(ids, listed)
    if np.any(rows < 0):
        raise tables.error(name, f"template {listed[np.argmin(rows)]} has no images")
    return rows


def _iso(
    found: list[Search],
    galleries: list[Gallery],
    person: np.ndarray,
    params: Params,
    resampling: Resampling,
) -> Result:
    weights = resampling.weights(int(person.max()) + 1)
    drawn = resampling.drawn(person, PEOPLE)
    measures, curves = _closed_set(found, galleries, person, params, weights, drawn)
    open_sets = [
        OpenSet.of(one, gallery.mate, person, params.threshold)
        for one, gallery in zip(found, galleries, strict=True)
        if np.any(gallery.mate >= 0) and np.any(gallery.mate < 0)
    ]
    if not open_sets:
        return Result(measures, curves)
    searches = min(len(one.alarms) for one in open_sets)
    mated = sum(len(one.own) for one in open_sets)
    effective = sum(effective_count(one.score, one.own_person) for one in open_sets)
    for fpir in (x for x in params.fpir if x * searches >= 1):
        rates = [one.tpir(fpir) for one in open_sets]
        misses = sum((1 - rate) * len(one.own) for rate, one in zip(rates, open_sets, strict=True))
        measures[f"tpir@fpir={fpir:g}"] = measure(
            np.mean(rates),
            np.mean([one.resampled(fpir, weights) for one in open_sets], axis=0),
            mated,
            drawn,
            f"per_gallery, mean of {len(open_sets)}; threshold {params.threshold}",
            errors=misses,
            effective=effective,
            alarms=min(fpir * len(one.alarms) for one in open_sets),
        )
    fpir = np.unique([*np.geomspace(1 / searches, 1, OPEN_SET_POINTS), *params.fpir])
    tpir = [np.mean([one.tpir(x) for one in open_sets]) for x in fpir]
    return Result(measures, curves | {"open_set": {"fpir": fpir, "tpir": np.array(tpir)}})


def _merged(
    found: list[Search],
    galleries: list[Gallery],
    person: np.ndarray,
    params: Params,
    resampling: Resampling,
) -> Result:
    weights = resampling.weights(int(person.max()) + 1)
    drawn = resampling.drawn(person, PEOPLE)
    measures, curves = _closed_set(found, galleries, person, params, weights, drawn)
    (one,) = found
    effective = effective_count(one.own, person)
    for fpir in (x for x in params.fpir if x * len(one.own) >= 1):
        alarms = _alarms(len(one.own), fpir)
        hits = one.own > one.highest[alarms - 1]
        measures[f"tpir@fpir={fpir:g}"] = measure(
            np.mean(hits),
            weighted_share(hits, person, weights),
            len(hits),
            drawn,
            f"threshold fixed; merged, {alarms} wrong scores above it",
            errors=np.sum(~hits),
            effective=effective,
            alarms=alarms,
        )
    return Result(measures, curves)


def _alarms(searches: int, fpir: float) -> int:
    return int(np.ceil(searches * fpir - ROUNDING))


def _closed_set(
    found: list[Search],
    galleries: list[Gallery],
    person: np.ndarray,
    params: Params,
    weights: np.ndarray,
    drawn: Drawn,
) -> tuple[dict, dict]:
    """Rank-k rates over all searches of a gallery that holds the probe's person."""
    rank = np.concatenate([one.rank[one.rank > 0] for one in found])
    people = np.concatenate([person[one.rank > 0] for one in found])
    own = np.concatenate([one.own[one.rank > 0] for one in found])
    entries = min(len(gallery.templates) for gallery in galleries)
    note = f"closed_set of {entries} entries or more"
    return closed_set(rank, own, people, entries, params.ranks, weights, drawn, note)


@dataclass(frozen=True)
class OpenSet:
    """Searches of one gallery.

    Attributes:
        own: score of the mate of each mated probe, from high to low; -inf where it is not rank 1.
        own_person: person of each of these probes.
        score: the mate's score at any rank.
        alarms: highest score of each probe that has no mate, from high to low.
        alarm_person: person of each of these probes.
        threshold: how it follows from the false alarms, as in Params.
    """

    own: np.ndarray
    own_person: np.ndarray
    score: np.ndarray
    alarms: np.ndarray
    alarm_person: np.ndarray
    threshold: str = "at_most"

    @classmethod
    def of(
        cls, found: Search, mate: np.ndarray, person: np.ndarray, threshold: str = "at_most"
    ) -> OpenSet:
        mated = mate >= 0
        own = np.where(found.rank == 1, found.own, -np.inf)[mated]
        alarms = found.other[~mated]
        high, loud = np.argsort(-own, kind="stable"), np.argsort(-alarms, kind="stable")
        return cls(own[high], person[mated][high], found.own[mated][high],
                   alarms[loud], person[~mated][loud], threshold)  # fmt: skip

    @cached_property
    def above(self) -> np.ndarray:
        """How many of `own` exceed each alarm, and at last how many there are at rank 1."""
        own = np.searchsorted(-self.own, -self.alarms, side="left")
        return np.append(own, np.isfinite(self.own).sum())

    @cached_property
    def reached(self) -> np.ndarray:
        """How many of `own` are at least each alarm."""
        return np.append(np.searchsorted(-self.own, -self.alarms, side="right"), 0)

    def tpir(self, fpir: float) -> float:
        """Share of mated probes found at rank 1 and accepted at the threshold of `fpir`."""
        raised = np.arange(1, len(self.alarms) + 1)[None]
        return float(self._accepted(raised, fpir)[0] / len(self.own))

    def resampled(self, fpir: float, weights: np.ndarray) -> np.ndarray:
        """The same with people counted by `weights` [replicates, people]."""
        rate = np.empty(len(weights))
        for start in range(0, len(weights), REPLICATES_AT_A_TIME):
            some = weights[start : start + REPLICATES_AT_A_TIME]
            raised = np.cumsum(some[:, self.alarm_person], axis=1, dtype=np.float64)
            found = np.cumsum(some[:, self.own_person], axis=1, dtype=np.float64)
            found = np.concatenate([np.zeros((len(some), 1)), found], axis=1)
            with np.errstate(invalid="ignore"):
                rate[start : start + len(some)] = (
                    found[np.arange(len(some)), self._accepted(raised, fpir)] / found[:, -1]
                )
        return rate

    def _accepted(self, raised: np.ndarray, fpir: float) -> np.ndarray:
        """How many of `own` are accepted, [replicates].

        `raised` counts the alarms down to each one, [replicates, alarms].
        """
        allowed = fpir * raised[:, -1:]
        if self.threshold == "at_most":  # down to just above the next alarm
            return self.above[np.sum(raised <= allowed + ROUNDING, axis=1)]
        whole = np.rint if self.threshold == "rounded" else np.trunc
        count = whole(allowed + ROUNDING)
        last = np.sum(raised < np.maximum(count, 1), axis=1)
        return np.where(count[:, 0] > 0, self.reached[last], self.above[last])
