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


def test_equal_values_keep_the_order_of_the_set() -> None:
    """Whatever the images are called."""
    identity = np.array(["f", "b", "e", "a", "d", "c"])
    assert list(extremes(np.ones(6), identity, 2)) == [0, 1, 4, 5]
    assert list(extremes(np.array([2, np.nan, 1, 1, 1, 0]), identity, 2)) == [0, 2, 4, 5]


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


def test_every_quality_comes_from_its_own_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file holds a number of its own; a head may give kappa, or precision, or neither."""
    monkeypatch.chdir(tmp_path)
    files = {
        "trunk/norm": 1,
        "trunk/upsampled_28/norm": 2,
        "trunk/upsampled_7/norm": 3,
        "trunk/branch_28/norm": 4,
        "trunk/branch_7/norm": 5,
        "heads/scf/kappa": 6,
        "heads/scf/kappa_28": 7,
        "heads/scf/kappa_7": 8,
        "heads/pfe/precision": 9,
        "heads/pfe/precision_28": 10,
        "heads/pfe/precision_7": 11,
    }
    for name, value in files.items():
        path = Path(f"data/features/people/{name}.npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full(2, value))
    found = read_qualities("people", [28, 7], ["scf", "pfe", "set"])
    assert {q.key: {side: v[0] for side, v in q.values.items()} for q in found} == {
        "norm_trunk": {112: 1, 28: 2, 7: 3},
        "norm_branch": {112: 1, 28: 4, 7: 5},
        "kappa_scf": {112: 6, 28: 7, 7: 8},
        "precision_pfe": {112: 9, 28: 10, 7: 11},
    }
    assert [q.name for q in found if q.low] == ["norm, branches"]
    Path("data/features/people/heads/pfe/precision_7.npy").unlink()
    with pytest.raises(InputError, match=r"heads/pfe/precision_7\.npy: file not found"):
        read_qualities("people", [28, 7], ["scf", "pfe"])


def test_a_missing_norm_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="run the stage extract"):
        read_qualities("people", [], [])


def test_quartiles_leave_out_what_is_no_number() -> None:
    quality = Quality("q", "q", {112: np.array([1, np.nan, 3]), 7: np.array([np.nan])})
    assert quality.quartiles() == {112: (1.5, 2.0, 2.5)}
