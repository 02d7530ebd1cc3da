"""The training pack, read record by record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.datasets._rec import Reader, unpack
from stages.datasets.recordio import Params, read
from tests.fetch.likeness import photograph_of

PEOPLE, IMAGES = 20, 10


@pytest.fixture(scope="module")
def reader(raw: Path) -> Reader:
    return Reader(raw / "faces/train.rec", raw / "faces/train.idx")


def test_header_says_where_images_and_records_end(reader: Reader) -> None:
    header, image = unpack(reader[0])
    assert header.flag == 2
    assert header.label.tolist() == [PEOPLE * IMAGES + 1, PEOPLE * IMAGES + 1 + PEOPLE]
    assert len(image) == 0
    assert reader.keys.tolist() == list(range(PEOPLE * IMAGES + 1 + PEOPLE))


def test_records_of_people_hold_their_images(reader: Reader) -> None:
    """What the record of a person spans, and nothing else, has that person's label."""
    labels = [unpack(reader[key])[0].label for key in range(1, PEOPLE * IMAGES + 1)]
    for person in range(PEOPLE):
        header, image = unpack(reader[PEOPLE * IMAGES + 1 + person])
        first, after = (int(value) for value in header.label)
        assert len(image) == 0
        assert [key for key, label in enumerate(labels, 1) if label == person] == list(
            range(first, after)
        )


def test_images_are_people_1_to_20_as_labelled(raw: Path) -> None:
    source = read(raw / "faces", Params())
    found = [(photograph_of(record.payload), record.label) for record in source.records]
    assert sorted(name for name, _ in found) == [
        (person, number) for person in range(1, 21) for number in range(1, 11)
    ]
    assert all(label == person - 1 for (person, _), label in found)


def test_images_are_colour_jpeg_of_quality_95(raw: Path) -> None:
    """Quality 95 of libjpeg: 100 - quality is a tenth of the standard tables; the first entry of
    the luminance table is then 16 * 10 / 100, rounded."""
    for record in read(raw / "faces", Params()).records:
        payload = bytes(record.payload)
        table = payload.index(b"\xff\xdb")
        assert payload[table + 5] == round(16 * 0.1)
        frame = payload.index(b"\xff\xc0")
        assert np.frombuffer(payload, ">u2", 2, frame + 5).tolist() == [112, 92]
        assert payload[frame + 9] == 3


def test_property(raw: Path) -> None:
    assert (raw / "faces/property").read_text() == "20,112,112\n"
