"""The template set: every list against the photographs that the images show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stages.datasets._source import Source
from stages.datasets.ijb import Params, read
from tests.fetch.likeness import photograph_of

PEOPLE = list(range(21, 41))


@pytest.fixture(scope="module")
def source(raw: Path) -> Source:
    return read(raw / "ijb", Params())


@pytest.fixture(scope="module")
def person(source: Source) -> np.ndarray:
    """Who is on each image."""
    names = [photograph_of(record.payload) for record in source.records]
    assert sorted(names) == [(who, number) for who in PEOPLE for number in range(1, 11)]
    return np.array([who for who, _ in names])


def subjects(source: Source, person: np.ndarray) -> dict[int, int]:
    """Whom each template shows."""
    table = source.tables["templates"]
    shown: dict[int, set[int]] = {}
    for record, template in zip(table["record"], table["template"], strict=True):
        shown.setdefault(int(template), set()).add(int(person[record]))
    assert all(len(who) == 1 for who in shown.values())
    return {template: who.pop() for template, who in shown.items()}


def test_every_photograph_is_in_one_template(source: Source, person: np.ndarray) -> None:
    records = source.tables["templates"]["record"]
    assert sorted(records.tolist()) == list(range(200))
    assert len(subjects(source, person)) == 100


def test_list_of_templates_follows_the_list_of_images(source: Source) -> None:
    """The vendors' scripts read both side by side, by line."""
    assert source.tables["templates"]["record"].tolist() == list(range(200))


def test_galleries_and_probes_name_whom_they_show(source: Source, person: np.ndarray) -> None:
    shown = subjects(source, person)
    galleries, probes = source.tables["galleries"], source.tables["probes"]
    for table in (galleries, probes):
        assert [shown[t] for t in table["template"].tolist()] == table["subject"].tolist()
    for name, people in (("G1", PEOPLE[:10]), ("G2", PEOPLE[10:])):
        assert galleries["subject"][galleries["gallery"] == name].tolist() == people
    assert Counter(probes["subject"].tolist()) == dict.fromkeys(PEOPLE, 4)
    assert not set(galleries["template"].tolist()) & set(probes["template"].tolist())


def test_templates_are_of_mixed_sizes_and_some_have_a_video(source: Source) -> None:
    table = source.tables["templates"]
    sizes = Counter(table["template"].tolist())
    probes = source.tables["probes"]
    assert {sizes[t] for t in source.tables["galleries"]["template"].tolist()} == {3}
    for who in PEOPLE:
        mine = probes["template"][probes["subject"] == who].tolist()
        assert sorted(sizes[t] for t in mine) == [1, 1, 2, 3]
    frames = Counter(table["media"].tolist())
    assert set(frames.values()) == {1, 2}
    of_one_template = {}
    for template, medium in zip(table["template"], table["media"], strict=True):
        assert of_one_template.setdefault(int(medium), int(template)) == template


def test_all_gallery_templates_are_compared_with_all_probes(
    source: Source, person: np.ndarray
) -> None:
    shown = subjects(source, person)
    table = source.tables["template_pairs"]
    pairs = list(zip(table["first"].tolist(), table["second"].tolist(), strict=True))
    galleries = source.tables["galleries"]["template"].tolist()
    probes = source.tables["probes"]["template"].tolist()
    assert sorted(pairs) == sorted((one, other) for one in galleries for other in probes)
    assert [shown[one] == shown[other] for one, other in pairs] == table["same"].tolist()
    assert table["same"].sum() == 80


def test_landmarks_lie_in_the_faces(source: Source) -> None:
    landmarks = np.stack([record.landmarks for record in source.records]).reshape(-1, 5, 2)
    left, right, nose, mouth_left, mouth_right = landmarks.transpose(1, 0, 2)
    assert (landmarks > 0).all()
    assert (landmarks < [92, 112]).all()
    assert (left[:, 0] < right[:, 0]).all()
    assert (mouth_left[:, 0] < mouth_right[:, 0]).all()
    assert (np.maximum(left, right)[:, 1] < nose[:, 1]).all()
    assert (nose[:, 1] < np.minimum(mouth_left, mouth_right)[:, 1]).all()
    score = source.tables["templates"]["score"]
    assert score.min() > 0.7
    assert score.max() <= 1


def test_lists_are_in_the_vendors_format(raw: Path) -> None:
    meta = raw / "ijb/meta"
    line = (meta / "ijbc_name_5pts_score.txt").read_text().splitlines()[0].split(" ")
    assert (line[0], len(line)) == ("1.jpg", 12)
    assert len((meta / "ijbc_face_tid_mid.txt").read_text().splitlines()[0].split(" ")) == 3
    for name in ("gallery_G1", "gallery_G2", "probe_mixed"):
        lines = (meta / f"ijbc_1N_{name}.csv").read_text().splitlines()
        assert lines[0].split(",")[:2] == ["TEMPLATE_ID", "SUBJECT_ID"]
    images = sorted(int(file.stem) for file in (raw / "ijb/loose_crop").iterdir())
    assert images == list(range(1, 201))
