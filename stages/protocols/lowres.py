"""Closed-set search among native low-resolution faces and distractors (TinyFace).

The gallery holds several images of most people, and distractors of nobody who is searched for. A
probe is found within rank k if any image of its person is among the k most similar of the gallery
(Cheng et al., ACCV 2018).
"""

from __future__ import annotations

import numpy as np

from stages.core.index import Index
from stages.core.params import Rank, Section
from stages.protocols._bootstrap import Resampling
from stages.protocols._result import Result
from stages.protocols._rows import Rows
from stages.protocols._search import closed_set
from stages.protocols._tables import Tables
from stages.protocols._vectors import by_blocks, positions, unit

NEEDS = ("lowres",)  # of an image set: this list


class Params(Section):
    """
    flip: compare the sums over the image and its mirror image.
    ranks: of the rates given.
    """

    flip: bool = True
    ranks: list[Rank] = [1, 5, 20]


def evaluate(
    rows: Rows, tables: Tables, index: Index, params: Params, resampling: Resampling
) -> dict[str, Result]:
    """Rank-k rates by row; of a setting r1&r2 the gallery is seen at r1, the probes at r2.

    A probe that could not be aligned, or none of whose mates could, is not found. Raise InputError
    if a probe's person is in no line of the gallery.
    """
    listed = tables["lowres"]
    place = positions(index.record, listed["record"])
    role, subject = np.asarray(listed["role"], str), np.asarray(listed["subject"], np.int64)
    searched, enrolled = role == "probe", np.isin(role, ("gallery", "distractor"))
    _check(tables, role, subject)
    probe, entry = searched & (place >= 0), enrolled & (place >= 0)
    person = np.unique(subject[searched], return_inverse=True)[1]
    weights, drawn = resampling.weights(person.max() + 1), resampling.drawn(person)
    lost = np.sum(searched) - np.sum(probe)
    note = f"closed_set of {np.sum(entry)} images" + (f"; {lost} probes lost" if lost else "")
    results = {}
    for row, first, second in rows.images(params.flip):
        rank = np.full(np.sum(searched), np.sum(enrolled) + 1)
        own = np.full(len(rank), -1, np.float32)
        seen = place[searched] >= 0
        rank[seen], own[seen] = ranks(
            unit(second[place[probe]]), subject[probe], unit(first[place[entry]]), subject[entry]
        )
        found = closed_set(
            rank, own, person, int(np.sum(entry)), params.ranks, weights, drawn, note
        )
        results[row] = Result(*found)
    return results


def ranks(
    probes: np.ndarray, probe_subject: np.ndarray, gallery: np.ndarray, gallery_subject: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the best mate of each probe and its score, int64 and float32 [probes].

    Equal scores of other people come before it. Without a mate the rank is past the last entry, the
    score -1.

    Args:
        probes, gallery: unit rows, float32 [p, d] and [g, d].
        probe_subject, gallery_subject: their persons.
    """
    order = np.argsort(gallery_subject, kind="stable")
    rising = gallery_subject[order]
    start = np.searchsorted(rising, probe_subject, side="left")
    end = np.searchsorted(rising, probe_subject, side="right")
    rank = np.full(len(probes), len(gallery) + 1)
    own = np.full(len(probes), -1, np.float32)

    def visit(some: slice, scores: np.ndarray) -> None:
        for i, line in enumerate(scores, some.start):
            mates = line[start[i] : end[i]]
            if len(mates):
                own[i] = mates.max()
                mates[:] = -np.inf
                rank[i] = 1 + np.count_nonzero(line >= own[i])

    by_blocks(probes, gallery[order], visit)
    return rank, own


def _check(tables: Tables, role: np.ndarray, subject: np.ndarray) -> None:
    for one in ("gallery", "probe"):
        if not np.any(role == one):
            raise tables.error("lowres", f"no {one} images")
    strangers = np.setdiff1d(subject[role == "probe"], subject[role == "gallery"])
    if len(strangers):
        raise tables.error("lowres", f"probe person {strangers[0]} has no gallery image")
