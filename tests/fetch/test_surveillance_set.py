"""The surveillance set: roles, native sizes, lists."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from stages.datasets._encoded import decode
from stages.datasets._source import Source
from stages.datasets.survface import Params, read
from stages.fetch.params import Params as Settings
from stages.fetch.photographs import photographs
from stages.fetch.surveillance import write_surveillance

TEST_SET = "Face_Identification_Test_Set"


@pytest.fixture(scope="module")
def source(raw: Path) -> Source:
    return read(raw / "survface", Params())


@pytest.fixture(scope="module")
def images(source: Source) -> list[np.ndarray]:
    return [decode(record.payload) for record in source.records]


def test_roles(source: Source) -> None:
    table = source.tables["surveillance"]
    role, subject = table["role"], table["subject"]
    for name in ("gallery", "mated"):
        people, counts = np.unique(subject[role == name], return_counts=True)
        assert people.tolist() == list(range(21, 33))
        assert set(counts.tolist()) == {5}
    assert (role == "unmated").sum() == 80
    assert set(subject[role == "unmated"].tolist()) == {-1}


def test_native_sizes(images: list[np.ndarray]) -> None:
    sizes = np.array([image.shape[:2] for image in images])
    assert sizes.min() >= 6
    assert sizes.max() <= 60
    assert len(np.unique(sizes[:, 1])) > 20
    aspect = sizes[:, 0] / sizes[:, 1]
    # Rounding moves a side by half a pixel.
    assert (np.abs(aspect - 112 / 92) <= 0.5 / sizes[:, 1] + 1e-9).all()
    longer = sizes.max(1)
    shares = [np.mean(longer <= 13), np.mean((longer > 13) & (longer < 28)), np.mean(longer >= 28)]
    assert min(shares) > 0.2  # each branch gets its part


def test_images_are_photographs_of_their_subjects(source: Source, images: list[np.ndarray]) -> None:
    """Each is, at its size, one photograph of the person listed; no photograph comes twice."""
    people = photographs()
    table = source.tables["surveillance"]
    used = []
    for record, subject in zip(table["record"], table["subject"].tolist(), strict=True):
        image = images[record]
        assert (image == image[..., :1]).all()
        size = image.shape[1::-1]
        candidates = range(33, 41) if subject < 0 else [subject]
        matches = [
            (person, number)
            for person in candidates
            for number, photograph in enumerate(people[person])
            if np.array_equal(
                cv2.resize(photograph, size, interpolation=cv2.INTER_AREA), image[..., 0]
            )
        ]
        assert matches
        used += matches[:1]
    assert len(set(used)) == 200


def test_lists_have_cells_and_no_date(raw: Path) -> None:
    for role in ("gallery", "mated_probe"):
        path = raw / "survface" / TEST_SET / f"{role}_img_ID_pairs.mat"
        header = path.read_bytes()[:116]
        assert header.startswith(b"MATLAB 5.0 MAT-file")
        assert b"Created on" not in header
        content = loadmat(path)
        names, ids = content[f"{role}_set"], content[f"{role}_ids"]
        assert names.dtype == object
        assert names.shape == ids.shape == (60, 1)
        assert (np.diff(ids[:, 0]) >= 0).all()  # the reference takes rows grouped by person


def test_parameters_bound_the_sizes(tmp_path: Path) -> None:
    unseen = {person: images for person, images in photographs().items() if person > 38}
    write_surveillance(tmp_path, unseen, Settings(smallest=20, largest=30))
    sizes = [decode(r.payload).shape[:2] for r in read(tmp_path, Params()).records]
    assert np.min(sizes) >= 20
    assert np.max(sizes) <= 30
