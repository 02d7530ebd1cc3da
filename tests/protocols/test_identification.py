"""Open- and closed-set search against loops over probes, galleries and thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import identification
from stages.protocols.identification import OpenSet
from tests.protocols import made


def templated(random, people: int = 14, searches: int = 6, noise: float = 1.6):
    """Galleries G1 and G2 of half of the people each, and probes of all of them."""
    person = np.repeat(np.arange(people), 1 + searches)
    ids = np.sort(random.choice(5000, len(person), replace=False))
    enrolled = np.arange(len(ids)) % (1 + searches) == 0
    listed = made.tables(
        templates={"record": np.arange(len(ids)), "template": ids,
                   "media": np.zeros(len(ids), int), "score": np.ones(len(ids))},
        galleries={"gallery": np.where(np.arange(people) % 2, "G2", "G1").astype(object),
                   "template": ids[enrolled], "subject": 100 + np.arange(people)},
        probes={"template": ids[~enrolled], "subject": 100 + person[~enrolled]},
    )  # fmt: skip
    arrays = {
        f"{model}/descriptor_mean": made.faces(random, person, noise)
        for model in ("trunk", "branch_7")
    }
    rows = made.rows(arrays, settings={"112&7": ("trunk", "branch_7")},
                     descriptors={"mean": ("trunk", "mean")})  # fmt: skip
    return rows, listed, arrays, person, enrolled


def evaluated(rows, listed, **options):
    params = identification.Params(**options)
    return identification.evaluate(rows, listed, made.index(1), params, made.RESAMPLING)


@pytest.mark.parametrize("row", ["mean", "112&7"])
def test_iso(row: str) -> None:
    rows, listed, arrays, person, enrolled = templated(np.random.default_rng(0))
    measures = evaluated(rows, listed, fpir=[0.05, 0.2], ranks=[1, 3])[row].measures
    first = arrays["trunk/descriptor_mean"]
    second = arrays["branch_7/descriptor_mean"] if row == "112&7" else first
    ranks, rates = [], {0.05: [], 0.2: []}
    for parity in (0, 1):
        people = np.arange(14)[np.arange(14) % 2 == parity]
        scores = made.cosines(second[~enrolled], first[enrolled][people])
        mated, alarms = [], []
        for line, who in zip(scores, person[~enrolled], strict=True):
            if who not in people:
                alarms.append(line.max())
                continue
            own = line[list(people).index(who)]
            rank = 1 + np.sum(line > own)
            ranks.append(rank)
            mated.append((own, rank))
        for fpir, found in rates.items():
            best = 0.0  # the best that any threshold gives which raises few enough alarms
            for threshold in [*alarms, *(own for own, _ in mated)]:
                if np.mean(np.array(alarms) > threshold) <= fpir:
                    best = max(best, np.mean([o > threshold and r == 1 for o, r in mated]))
            found.append(best)
    for fpir, found in rates.items():
        measure = measures[f"tpir@fpir={fpir:g}"]
        assert measure.value == pytest.approx(np.mean(found))
        assert measure.low <= measure.value <= measure.high
        assert "per_gallery" in measure.method
    for k in (1, 3):
        assert measures[f"rank{k}"].value == pytest.approx(np.mean(np.array(ranks) <= k))


def test_merged_is_another_definition() -> None:
    rows, listed, arrays, person, enrolled = templated(np.random.default_rng(1))
    result = evaluated(rows, listed, definition="merged", fpir=[0.05], ranks=[1, 5])["mean"]
    vectors = arrays["trunk/descriptor_mean"]
    scores = made.cosines(vectors[~enrolled], vectors[enrolled])
    who = person[~enrolled]
    own = scores[np.arange(len(who)), who]
    wrong = np.sort(scores[np.arange(14) != who[:, None]])[::-1]
    alarms = int(np.ceil(len(who) * 0.05))
    measure = result.measures["tpir@fpir=0.05"]
    assert measure.value == np.mean(own > wrong[alarms - 1])
    assert "merged" in measure.method
    assert ("fewer than 10 errors" in measure.method) == (
        min(alarms, np.sum(own <= wrong[alarms - 1])) < 10
    )
    ranks = 1 + np.sum(scores > own[:, None], axis=1)
    assert result.measures["rank5"].value == np.mean(ranks <= 5)
    np.testing.assert_allclose(result.curves["cmc"]["rate"][:5],
                               [np.mean(ranks <= k) for k in range(1, 6)])  # fmt: skip


def test_targets_below_one_search_and_ranks_of_the_whole_gallery_are_left_out() -> None:
    rows, listed, *_ = templated(np.random.default_rng(1))
    measures = evaluated(rows, listed, fpir=[0.001, 0.1], ranks=[1, 5, 7, 10])["mean"].measures
    assert set(measures) == {"tpir@fpir=0.1", "rank1", "rank5"}  # 42 strangers, galleries of 7


@pytest.mark.parametrize("rule", ["at_most", "truncated", "rounded"])
def test_resampled_rates_are_those_of_repeated_probes(rule: str) -> None:
    random = np.random.default_rng(5)
    own = -np.sort(-random.normal(1, 1, 30).astype(np.float32))
    own[25:] = -np.inf
    alarms = -np.sort(-random.normal(0, 1, 40).astype(np.float32))
    people, strangers = random.integers(0, 6, 30), random.integers(6, 12, 40)
    weights = made.RESAMPLING.weights(12)[:50]
    found = OpenSet(own, people, own, alarms, strangers, rule).resampled(0.1, weights)
    for weight, rate in zip(weights.astype(int), found, strict=True):
        mine, theirs = np.repeat(own, weight[people]), np.repeat(alarms, weight[strangers])
        none = np.zeros(len(mine), int), np.zeros(len(theirs), int)
        if len(mine) and len(theirs):
            again = OpenSet(mine, none[0], mine, theirs, none[1], rule)
            assert rate == pytest.approx(again.tpir(0.1))


def test_rules_for_the_threshold_by_hand() -> None:
    """Ten strangers; FPIR 0.16 admits 1.6 alarms: one, or two where that is rounded."""
    alarms = np.arange(10, 0, -1) / 10.0  # 1.0, 0.9, 0.8, ..
    own = np.array([1.1, 1.0, 0.95, 0.9, 0.85])
    person = np.zeros(10, int)
    for rule, accepted in (("at_most", 3), ("truncated", 2), ("rounded", 4)):
        assert OpenSet(own, person[:5], own, alarms, person, rule).tpir(0.16) == accepted / 5
        assert OpenSet(own, person[:5], own, alarms, person, rule).tpir(0.01) == 1 / 5


def test_open_set_curve_holds_the_quoted_points_and_rises() -> None:
    rows, listed, *_ = templated(np.random.default_rng(2))
    result = evaluated(rows, listed, fpir=[0.1])["mean"]
    curve = result.curves["open_set"]
    at = np.flatnonzero(curve["fpir"] == 0.1)
    assert curve["tpir"][at] == result.measures["tpir@fpir=0.1"].value
    assert np.all(np.diff(curve["tpir"]) >= 0)


def test_faulty_lists_are_errors() -> None:
    rows, listed, *_ = templated(np.random.default_rng(1))
    listed["galleries"]["subject"][2] = 100
    with pytest.raises(InputError, match="subject 100 is enrolled more than once in G1"):
        evaluated(rows, listed)
    listed["galleries"]["subject"][2] = 999
    with pytest.raises(InputError, match="subject 102 is in no gallery"):
        evaluated(rows, listed, definition="merged")
    everybody = listed["probes"]["subject"].copy()
    listed["probes"]["subject"][:] = -1
    with pytest.raises(InputError, match="none of its subjects is in a gallery"):
        evaluated(rows, listed)
    listed["probes"]["subject"][:] = everybody
    listed["probes"]["template"][0] = 5001
    with pytest.raises(InputError, match="probes.parquet: template 5001 has no images"):
        evaluated(rows, listed)


def test_a_gallery_of_one_has_no_wrong_entry() -> None:
    rows, listed, *_ = templated(np.random.default_rng(1), people=1)
    with pytest.raises(InputError, match="one entry"):
        evaluated(rows, listed, definition="merged")
    assert evaluated(rows, listed)["mean"].measures == {}  # no rank is below the only one
