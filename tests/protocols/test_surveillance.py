"""Search by native size against loops over probes and thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import _vectors, surveillance
from stages.protocols._vectors import unit
from tests.protocols import made

SIZES = [7, 14, 28, 112]
# (width, height): larger side floor, near, ceil; smaller side; mean side (BTNet, section 4.3)
EXAMPLES = {
    (13, 15): ((14, 14, 28), (7, 14, 14), (14, 14, 14)),
    (20, 24): ((14, 28, 28), (14, 14, 28), (14, 28, 28)),
    (30, 35): ((28, 28, 112), (28, 28, 112), (28, 28, 112)),
    (10, 11): ((7, 14, 14), (7, 7, 14), (7, 7, 14)),
    (28, 29): ((28, 28, 112), (28, 28, 28), (28, 28, 28)),
}


@pytest.mark.parametrize("size", EXAMPLES)
def test_examples(size: tuple[int, int]) -> None:
    for indicator, expected in zip(("max", "min", "avg"), EXAMPLES[size], strict=True):
        pixels = surveillance.indicator_of(indicator, *(np.array([side]) for side in size))
        chosen = [surveillance.chosen_size(pixels, r, SIZES)[0] for r in ("floor", "near", "ceil")]
        assert tuple(chosen) == expected


@pytest.mark.parametrize("pixels", range(1, 130))
def test_rules_by_their_words(pixels: int) -> None:
    found = {
        rule: surveillance.chosen_size(np.array([pixels]), rule, SIZES)[0]
        for rule in ("floor", "near", "ceil")
    }
    assert found["floor"] == max([s for s in SIZES if s <= pixels], default=7)
    assert found["ceil"] == min([s for s in SIZES if s >= pixels], default=112)
    nearest = min(abs(s - pixels) for s in SIZES)
    assert found["near"] == min(s for s in SIZES if abs(s - pixels) == nearest)  # ties down


def surveyed(random, noise: float = 1.2):
    """9 enrolled people with 3 gallery images and 5 probes, and 40 strangers; sizes vary."""
    person = np.concatenate([np.repeat(np.arange(9), 8), np.arange(9, 49)])
    role = np.concatenate([np.tile(["gallery"] * 3 + ["mated"] * 5, 9), ["unmated"] * 40])
    order = random.permutation(len(person))
    person, role = person[order], role[order].astype(object)
    subject = np.where(role == "unmated", -1, person * 10)
    width, height = random.integers(4, 130, (2, len(person)))
    arrays = {
        f"{model}/embedding": made.faces(random, person, noise)
        for model in ("trunk", "branch_7", "branch_14", "branch_28")
    }
    sizes = {112: "trunk", 28: "branch_28", 14: "branch_14", 7: "branch_7"}
    listed = made.tables(
        surveillance={"record": np.arange(len(person)), "role": role, "subject": subject}
    )
    index = made.index(len(person), width=width, height=height)
    return made.rows(arrays, sizes=sizes), listed, index, arrays


def plainly(vectors, role, subject, fpir: list[float]):
    """TPIR20 at each FPIR and the area, one threshold at a time."""
    people = sorted(set(subject[role == "gallery"].tolist()))
    gallery = np.array([vectors[(role == "gallery") & (subject == p)].mean(axis=0) for p in people])
    mated = made.cosines(vectors[role == "mated"], gallery)
    unmated = made.cosines(vectors[role == "unmated"], gallery).max(axis=1)
    own = np.array([line[people.index(s)]
                    for line, s in zip(mated, subject[role == "mated"], strict=True)])  # fmt: skip
    grid = np.linspace(min(mated.min(), unmated.min()), unmated.max(), 1000)
    hits = np.array([np.mean(own > t) for t in grid])
    alarms = np.array([np.mean(unmated > t) for t in grid])
    area = sum((alarms[k] - alarms[k + 1]) * (hits[k] + hits[k + 1]) / 2 for k in range(999))
    return [hits[np.argmin(np.abs(alarms - x))] for x in fpir], area


def test_rows_against_the_plain_procedure() -> None:
    rows, listed, index, arrays = surveyed(np.random.default_rng(0))
    results = surveillance.evaluate(
        rows, listed, index, surveillance.Params(fpir=[0.3, 0.2, 0.1, 0.025, 0.01]),
        made.RESAMPLING,
    )  # fmt: skip
    assert len(results) == 10
    role, subject = listed["surveillance"]["role"], listed["surveillance"]["subject"]
    for row in ("trunk", "max+ceil", "avg+near", "min+floor"):
        vectors = arrays["trunk/embedding"].copy()
        if row != "trunk":
            indicator, rule = row.split("+")
            pixels = surveillance.indicator_of(indicator, index.width, index.height)
            for k, size in enumerate(surveillance.chosen_size(pixels, rule, SIZES)):
                model = "trunk" if size == 112 else f"branch_{size}"
                vectors[k] = arrays[f"{model}/embedding"][k]
        rates, area = plainly(vectors, role, subject, [0.3, 0.2, 0.1, 0.025])
        measures = results[row].measures
        found = [measures[f"tpir20@fpir={x}"].value for x in (0.3, 0.2, 0.1, 0.025)]
        assert found == pytest.approx(rates, abs=1.5 / 45)  # a score may sit on a threshold
        assert measures["auc"].value == pytest.approx(area, abs=2e-3)
        assert "tpir20@fpir=0.01" not in measures  # 40 unmated images
        for measure in measures.values():
            assert measure.low <= measure.value <= measure.high
        assert results[row].curves["open_set"]["fpir"][-1] == 1


def test_the_mate_must_be_among_the_first_twenty() -> None:
    """25 people, the probe equal to 22 others more than to itself: it is never found."""
    gallery = np.eye(25, dtype=np.float32)
    probe = np.full((1, 25), 1.0, np.float32)
    probe[0, 3] = 0.5
    probe /= np.linalg.norm(probe)
    far_away = -gallery[:5]
    counts = surveillance.open_set(gallery, probe, np.array([3]), far_away)
    assert counts.hits.sum() == 0
    closer = surveillance.open_set(gallery, probe, np.array([4]), far_away)
    assert closer.hits.sum() == 0  # 24 equal scores: not first twenty for certain
    probe[0, 4] += 0.1
    found = surveillance.open_set(gallery, probe, np.array([4]), far_away)
    assert found.hits.sum() == 1000
    falling = unit(np.arange(25, 0, -1)[None])
    for mate, hits in ((19, 1000), (20, 0)):  # the twentieth and the next
        found = surveillance.open_set(gallery, falling, np.array([mate]), far_away)
        assert found.hits.sum() == hits


@pytest.mark.parametrize("probes_a_block", [1, 2])
def test_thresholds_span_listed_scores_and_false_alarms(probes_a_block: int, monkeypatch) -> None:
    """By hand, lists of two."""
    monkeypatch.setattr(_vectors, "SEARCH_CELLS", 1)
    monkeypatch.setattr(_vectors, "FEWEST_ROWS", probes_a_block)
    monkeypatch.setattr(surveillance, "LIST_LENGTH", 2)
    gallery = np.eye(3, dtype=np.float32)
    mated = np.array([[0.96, 0.28, 0], [0.8, 0, 0.6]], np.float32)  # the second are 0.28 and 0.6
    loud = np.array([[0.48, 0.64, 0.6], [0.8, 0.6, 0]], np.float32)
    quiet = np.array([[-0.6, -0.8, 0.0]], np.float32)
    for probes in (mated, mated[::-1]):
        for unmated, ends in ((loud, (0.28, 0.8)), (np.append(loud, quiet, axis=0), (0, 0.8))):
            found = surveillance.open_set(gallery, probes, np.zeros(2, int), unmated)
            assert found.thresholds[[0, -1]] == pytest.approx(ends)


def test_images_that_are_lost_are_as_if_not_listed() -> None:
    rows, listed, index, arrays = surveyed(np.random.default_rng(0))
    gone = [0, 40, 111]
    kept = np.delete(np.arange(len(index)), gone)
    rows = replace(rows, read=lambda model, name: arrays[f"{model}/{name}"][kept])
    index = made.index(len(kept), record=kept, width=index.width[kept], height=index.height[kept])
    shorter = {name: np.delete(c, gone) for name, c in listed["surveillance"].items()}
    found, expected = (
        surveillance.evaluate(rows, one, index, surveillance.Params(), made.RESAMPLING)
        for one in (listed, made.tables(surveillance=shorter))
    )
    assert [one.measures for one in found.values()] == [one.measures for one in expected.values()]


def test_one_size_needs_no_rule_and_embeddings_from_elsewhere_are_a_row() -> None:
    rows, listed, index, arrays = surveyed(np.random.default_rng(0))
    arrays["external_mine/embedding"] = arrays["branch_7/embedding"]
    rows = replace(rows, sizes={112: "trunk"}, external={"external mine": "external_mine"})
    crops = made.index(len(index))
    params = surveillance.Params()
    found = surveillance.evaluate(rows, listed, crops, params, made.RESAMPLING)
    assert list(found) == ["trunk", "external mine"]
    rows = replace(rows, sizes={112: "branch_7"}, external={})
    again = surveillance.evaluate(rows, listed, index, params, made.RESAMPLING)["trunk"]
    assert again.measures == found["external mine"].measures


def test_people_without_probes_are_not_redrawn() -> None:
    """The method names the people that the interval rests on."""
    rows, listed, index, _ = surveyed(np.random.default_rng(0))
    columns = listed["surveillance"]
    columns["role"][(columns["role"] == "mated") & (columns["subject"] < 50)] = "gallery"
    found = surveillance.evaluate(rows, listed, index, surveillance.Params(), made.RESAMPLING)
    auc = found["trunk"].measures["auc"]
    assert auc.method.startswith("bootstrap over 4 mated people")
    assert auc.drawn.number == 4


def test_without_roles_or_mates_is_an_error() -> None:
    rows, listed, index, _ = surveyed(np.random.default_rng(0))
    columns = listed["surveillance"]
    mated = np.flatnonzero(columns["role"] == "mated")
    known = columns["subject"][mated].copy()
    columns["subject"][mated[0]] = 12345
    with pytest.raises(InputError, match="mated person 12345 has no gallery image"):
        surveillance.evaluate(rows, listed, index, surveillance.Params(), made.RESAMPLING)
    columns["subject"][mated] = known
    crops = made.index(len(index))
    with pytest.raises(InputError, match="all images are 112x112: .* Remedy: set `align: none`"):
        surveillance.evaluate(rows, listed, crops, surveillance.Params(), made.RESAMPLING)
    columns["role"][columns["role"] == "unmated"] = "gallery"
    with pytest.raises(InputError, match="no unmated images"):
        surveillance.evaluate(rows, listed, index, surveillance.Params(), made.RESAMPLING)
