"""TinyFace's search against sorting every probe's scores."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import _vectors, lowres
from tests.protocols import made

SETTINGS = {"112&112": ("trunk", "trunk"), "112&7": ("trunk", "branch_7")}
ROLES = np.repeat(["gallery", "probe", "distractor"], [14, 12, 40])


def surveyed(random: np.random.Generator):
    """Two or three gallery images of each of six people, two probes each, 40 distractors."""
    gallery, probes = np.append(np.repeat(np.arange(6), 2), [0, 3]), np.repeat(np.arange(6), 2)
    person = np.concatenate([gallery, probes, np.arange(6, 46)])
    arrays = {
        f"{model}/{name}": made.faces(np.random.default_rng(k), person, noise)
        for model, noise in (("trunk", 1.6), ("branch_7", 1.8))
        for k, name in enumerate(("embedding", "mirrored"))
    }
    subject = np.where(ROLES == "distractor", -1, person + 100)
    order = random.permutation(len(ROLES))
    listed = made.tables(lowres={"record": order, "role": ROLES[order], "subject": subject[order]})
    return arrays, listed, subject


def evaluated(arrays, listed, index=None, **options):
    index = made.index(len(ROLES)) if index is None else index
    params = lowres.Params(**options)
    rows = made.rows(arrays, settings=SETTINGS)
    return lowres.evaluate(rows, listed, index, params, made.RESAMPLING)


def plain_rank(line: np.ndarray, own: np.ndarray) -> int:
    """Place of the first mate in the sorted gallery."""
    return 1 + int(np.argmax(own[np.argsort(-line)]))


@pytest.mark.parametrize("row", SETTINGS)
@pytest.mark.parametrize("flip", [True, False])
def test_any_mate_within_the_rank_is_a_hit(flip: bool, row: str, monkeypatch) -> None:
    """The gallery is seen at r1, the probes at r2."""
    monkeypatch.setattr(_vectors, "SEARCH_CELLS", 100)
    monkeypatch.setattr(_vectors, "FEWEST_ROWS", 1)
    arrays, listed, subject = surveyed(np.random.default_rng(0))
    gallery, probes = (
        arrays[f"{model}/embedding"] + (arrays[f"{model}/mirrored"] if flip else 0)
        for model in SETTINGS[row]
    )
    table = made.cosines(probes[ROLES == "probe"], gallery[ROLES != "probe"])
    people, entries = subject[ROLES == "probe"], subject[ROLES != "probe"]
    ranks = [plain_rank(line, entries == p) for line, p in zip(table, people, strict=True)]
    found = evaluated(arrays, listed, flip=flip)[row]
    for k in (1, 5, 20):
        assert found.measures[f"rank{k}"].value == np.mean(np.array(ranks) <= k)
    assert max(ranks) > 5
    expected = [np.mean(np.array(ranks) <= k) for k in range(1, 21)]
    np.testing.assert_allclose(found.curves["cmc"]["rate"], expected)
    assert found.measures["rank1"].drawn.number == 6


def test_equal_scores_of_strangers_come_first() -> None:
    same = np.ones((4, 3), np.float32) / np.sqrt(3)
    rank, _ = lowres.ranks(same[:1], np.array([5]), same, np.array([5, 1, 5, -1]))
    assert rank.tolist() == [3]


def test_a_probe_that_is_lost_is_not_found() -> None:
    arrays, listed, _ = surveyed(np.random.default_rng(1))
    kept = np.delete(np.arange(len(ROLES)), 15)  # a probe
    index = made.index(len(kept), record=kept)
    arrays = {name: values[kept] for name, values in arrays.items()}
    found = evaluated(arrays, listed, index, ranks=[5, 53])["112&112"]
    assert found.measures["rank53"].value == 11 / 12
    assert found.measures["rank53"].count == 12
    assert "1 probes lost" in found.measures["rank5"].method


def test_faulty_lists_are_errors() -> None:
    arrays, listed, _ = surveyed(np.random.default_rng(2))
    columns = listed["lowres"]
    columns["subject"][np.flatnonzero(columns["role"] == "probe")[0]] = 999
    with pytest.raises(InputError, match="probe person 999 has no gallery image"):
        evaluated(arrays, listed)
    columns["role"][columns["role"] == "probe"] = "distractor"
    with pytest.raises(InputError, match="no probe images"):
        evaluated(arrays, listed)
