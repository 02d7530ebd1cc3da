"""The verification pack: who is paired with whom, fold by fold."""

from __future__ import annotations

import pickle
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from stages.datasets.bin import Params, read
from stages.fetch.pack import write_pack
from stages.fetch.params import Params as Settings
from stages.fetch.photographs import photographs
from tests.fetch.likeness import photograph_of

FOLDS, PAIRS = 10, 180


@pytest.fixture(scope="module")
def pairs(raw: Path) -> tuple[list[tuple[tuple[int, int], tuple[int, int]]], np.ndarray]:
    source = read(raw / "orl.bin", Params())
    names = [photograph_of(record.payload) for record in source.records]
    table = source.tables["pairs"]
    rows = zip(table["first"], table["second"], strict=True)
    return [(names[first], names[second]) for first, second in rows], table["same"]


def test_same_says_whether_it_is_one_person(pairs) -> None:
    names, same = pairs
    assert len(names) == FOLDS * PAIRS
    assert [first[0] == second[0] for first, second in names] == same.tolist()


def test_folds_share_no_person(pairs) -> None:
    names, same = pairs
    for fold in range(FOLDS):
        rows = slice(fold * PAIRS, (fold + 1) * PAIRS)
        people = {person for pair in names[rows] for person, _ in pair}
        assert people == {21 + 2 * fold, 22 + 2 * fold}
        assert same[rows].sum() == PAIRS // 2


def test_every_genuine_pair_once_and_no_impostor_pair_twice(pairs) -> None:
    names, same = pairs
    genuine = [frozenset(pair) for pair, is_same in zip(names, same, strict=True) if is_same]
    expected = {
        frozenset(pair)
        for person in range(21, 41)
        for pair in combinations([(person, number) for number in range(1, 11)], 2)
    }
    assert len(genuine) == len(set(genuine)) == 900
    assert set(genuine) == expected
    impostor = [frozenset(pair) for pair, is_same in zip(names, same, strict=True) if not is_same]
    assert len(impostor) == len(set(impostor)) == 900


def test_pickle_is_plain_and_of_a_fixed_protocol(raw: Path) -> None:
    content = (raw / "orl.bin").read_bytes()
    assert content[:2] == b"\x80\x04"
    images, same = pickle.loads(content)
    assert (type(images), {type(image) for image in images}) == (list, {bytes})
    assert (type(same), {type(value) for value in same}) == (list, {bool})
    assert len(images) == 2 * len(same)
    assert len(content) < 2 * sum(map(len, set(images)))  # shared images are kept once


def test_seed_draws_the_impostor_pairs(raw: Path, tmp_path: Path) -> None:
    unseen = {person: images for person, images in photographs().items() if person > 20}
    write_pack(tmp_path / "same.bin", unseen, Settings(seed=0))
    write_pack(tmp_path / "other.bin", unseen, Settings(seed=1))
    assert (tmp_path / "same.bin").read_bytes() == (raw / "orl.bin").read_bytes()
    assert (tmp_path / "other.bin").read_bytes() != (raw / "orl.bin").read_bytes()
