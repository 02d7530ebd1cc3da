"""Best and worst faces, and quality by resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.report.quality import Quality, extremes, read_qualities
from tests.report.synthetic import RESOLUTIONS, write_images


def test_extremes_are_the_ends_of_the_sorted_values() -> None:
    random = np.random.default_rng(0)
    values = random.permutation(40).astype(np.float32)
    rows = extremes(values, np.arange(40), 5)
    assert list(values[rows]) == [39, 38, 37, 36, 35, 4, 3, 2, 1, 0]


def test_an_image_counts_once_and_nan_not_at_all() -> None:
    values = np.array([5, 5, np.nan, 4, 3, 2, 1], np.float32)
    identity = np.array(["a", "a", "b", "c", "d", "e", "f"])
    assert list(extremes(values, identity, 2)) == [0, 3, 5, 6]


def test_few_images_share_the_two_halves() -> None:
    assert list(extremes(np.array([1.0, 2.0, 3.0]), np.arange(3), 8)) == [2, 0]
    assert len(extremes(np.array([1.0]), np.arange(1), 8)) == 0


def test_qualities_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, "people", [np.zeros((8, 8, 3), np.uint8)] * 3)
    monkeypatch.chdir(tmp_path)
    trunk, branches, kappa = read_qualities("people", RESOLUTIONS, ["scf", "coreset"])
    assert list(trunk.values) == list(branches.values) == list(kappa.values) == [112, *RESOLUTIONS]
    assert branches.low
    assert (trunk.values[112] == branches.values[112]).all()
    assert kappa.quartiles()[112][1] == pytest.approx(np.median(kappa.values[112]))
    assert [q.key for q in read_qualities("people", [], [])] == ["norm_trunk"]


def test_a_missing_norm_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="run the stage extract"):
        read_qualities("people", [], [])


def test_quartiles_leave_out_what_is_no_number() -> None:
    quality = Quality("q", "q", {112: np.array([1, np.nan, 3]), 7: np.array([np.nan])})
    assert quality.quartiles() == {112: (1.5, 2.0, 2.5)}
