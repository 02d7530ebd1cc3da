"""Open- and closed-set search against loops over probes, galleries and thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import identification
from stages.protocols._search import Search
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


def test_searches_from_the_highest_score_on() -> None:
    """Each with its person; at FPIR 1 all at rank 1 are accepted, whatever they score."""
    found = Search(
        own=np.array([0.2, -np.inf, 0.5, -np.inf, 0.9]), rank=np.array([1, 0, 2, 0, 1]),
        other=np.array([0.1, 0.3, 0.6, 0.7, 0.1]), highest=np.empty(0),
    )  # fmt: skip
    mate, person = np.array([0, -1, 1, -1, 2]), np.array([10, 11, 12, 13, 14])
    one = OpenSet.of(found, mate, person)
    assert one.own.tolist() == [0.9, 0.2, -np.inf]
    assert (one.own_person.tolist(), one.score.tolist()) == ([14, 10, 12], [0.9, 0.2, 0.5])
    assert (one.alarms.tolist(), one.alarm_person.tolist()) == ([0.7, 0.3], [13, 11])
    assert [one.tpir(x) for x in (0.4, 0.5, 1.0)] == [1 / 3, 1 / 3, 2 / 3]


def test_galleries_count_alike_however_many_probes_they_have() -> None:
    """G1's one probe is found, none of G2's three: a half. The smaller one bounds the targets."""
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, -1, 0],  # enrolled: 7 in G1, 8 and 9 in G2
                        [1, 0, 0], *[[0, 0, 1]] * 3, [1, 1, 0]], np.float32)  # fmt: skip
    listed = made.tables(
        templates={"template": np.arange(8)},
        galleries={"gallery": np.array(["G1", "G2", "G2"], object), "template": np.arange(3),
                   "subject": np.array([7, 8, 9])},
        probes={"template": np.arange(3, 8), "subject": np.array([7, 8, 8, 8, 99])},
    )  # fmt: skip
    rows = made.rows({"trunk/descriptor_mean": vectors})
    measures = evaluated(rows, listed, fpir=[0.25, 0.5], ranks=[1])["112&112"].measures
    assert set(measures) == {"tpir@fpir=0.5"}  # two false alarms are possible in G2, four in G1
    measure = measures["tpir@fpir=0.5"]
    assert measure.value == 0.5
    assert set(measure.samples[np.isfinite(measure.samples)]) == {0.5}


def test_a_mate_that_scores_as_the_merged_threshold_is_refused() -> None:
    """Two entries and both probes are alike: each wrong score equals each right one."""
    rows, listed, *_ = templated(np.random.default_rng(0), people=2, searches=1)
    rows = made.rows({"trunk/descriptor_mean": np.eye(4, dtype=np.float32)[[0, 0, 0, 0]]})
    found = evaluated(rows, listed, definition="merged", fpir=[0.5])["112&112"].measures
    assert found["tpir@fpir=0.5"].value == 0


def test_the_number_of_alarms_is_rounded_up_past_the_error_of_the_product() -> None:
    found = [identification._alarms(100, x) for x in (0.07, 0.071, 0.29)]
    assert found == [7, 8, 29]


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
