"""Who is who: the person of each template and of each image, from the protocol's lists."""

from __future__ import annotations

import numpy as np

from stages.core.index import UNKNOWN_LABEL, Index
from stages.protocols._tables import Tables
from stages.protocols._vectors import positions

NOBODY = -1  # person of a template that no list names


def template_ids(tables: Tables) -> np.ndarray:
    """All templates of the set in ascending order: the rows of every descriptor array."""
    return np.unique(tables["templates"]["template"])


def template_subjects(tables: Tables) -> np.ndarray:
    """Person of each of `template_ids`, NOBODY where neither galleries nor probes name it.

    Raise InputError if two lists disagree.
    """
    ids = template_ids(tables)
    subjects = np.full(len(ids), NOBODY, np.int64)
    for name in ("galleries", "probes"):
        if name not in tables:
            continue
        place = positions(ids, tables[name]["template"])
        known = place >= 0
        place, claimed = place[known], np.asarray(tables[name]["subject"], np.int64)[known]
        before = subjects[place]
        wrong = np.flatnonzero((before != NOBODY) & (before != claimed))
        if len(wrong):
            template = ids[place[wrong[0]]]
            claims = f"{claimed[wrong[0]]} here and {before[wrong[0]]} in another list"
            raise tables.error(name, f"template {template} is of subject {claims}")
        subjects[place] = claimed
    return subjects


def template_images(tables: Tables, index: Index) -> np.ndarray:
    """Row of the first image of each of `template_ids`, -1 where none is left: int64."""
    listed, ids = tables["templates"], template_ids(tables)
    row = positions(index.record, listed["record"])
    images = np.full(len(ids), -1)
    seen = np.flatnonzero(row >= 0)[::-1]  # so that the first one stays
    images[positions(ids, listed["template"][seen])] = row[seen]
    return images


def image_subjects(tables: Tables, index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the set's distinct images whose person is known, and their persons.

    From the labels of the set or, where it has none, from its templates. An image that occurs
    more than once (in several templates) counts once.
    """
    subjects = np.asarray(index.label, np.int64)
    if np.all(subjects == UNKNOWN_LABEL):
        subjects = _from_templates(tables, index)
    rows = np.flatnonzero(subjects != NOBODY)
    _, first = np.unique(np.asarray(index.sha1, str)[rows], return_index=True)
    rows = rows[np.sort(first)]
    return rows, subjects[rows]


def _from_templates(tables: Tables, index: Index) -> np.ndarray:
    listed = tables["templates"]
    subjects = np.full(len(index), NOBODY, np.int64)
    row = positions(index.record, listed["record"])
    person = template_subjects(tables)[positions(template_ids(tables), listed["template"])]
    known = (row >= 0) & (person != NOBODY)
    row, person = row[known], person[known]
    subjects[row] = person
    wrong = np.flatnonzero(subjects[row] != person)
    if len(wrong):
        both = f"{person[wrong[0]]} and {subjects[row[wrong[0]]]}"
        record = int(index.record[row[wrong[0]]])
        raise tables.error("templates", f"it is in templates of subjects {both}", record)
    return subjects


def people_of_pairs(subjects: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Person of each item, where lists do not name it, as far as genuine pairs tell: int64 [n].

    Args:
        subjects: int64 [n], NOBODY where no list names it.
        left, right: items of the genuine pairs.
    """
    link = linked_people(len(subjects), left, right)
    named = np.full(len(subjects), NOBODY)
    known = subjects != NOBODY
    named[link[known]] = subjects[known]
    linked = np.where(named[link] == NOBODY, -2 - link, named[link])
    return np.where(known, subjects, linked)


def linked_people(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Person of each of `count` images, as far as genuine pairs (left, right) tell: int64.

    Verification packs name nobody, but the images of a genuine pair show one person. Someone whose
    images are linked in several parts counts as several people.
    """
    person = np.arange(count)
    while True:
        lower = np.minimum(person[left], person[right])
        before = person.copy()
        np.minimum.at(person, left, lower)
        np.minimum.at(person, right, lower)
        person = person[person]
        if np.array_equal(person, before):
            return person
