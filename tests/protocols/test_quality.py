"""Confidences against counting."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import _edc, _vectors, quality
from stages.protocols._subjects import linked_people
from stages.protocols._vectors import unit
from tests.protocols import made


def test_a_confidence_tells_images_from_their_copies() -> None:
    random = np.random.default_rng(0)
    arrays = {
        "trunk/embedding": random.normal(size=(30, 4)).astype(np.float32),
        "trunk/norm": random.normal(20, 2, 30).astype(np.float32),
        "upsampled_7/norm": random.normal(17, 2, 30).astype(np.float32),
        "head_scf/kappa": random.normal(500, 50, 30).astype(np.float32),
        "head_scf/kappa_7": random.normal(400, 90, 30).astype(np.float32),
    }
    rows = made.rows(
        arrays, sizes={7: "branch_7", 112: "trunk"}, upsampled={7: "upsampled_7"},
        heads={"kappa": ("head_scf", "kappa")},
    )  # fmt: skip
    results = quality.evaluate(
        rows, made.tables(), made.index(30, label=np.arange(30) // 3), quality.Params(),
        made.RESAMPLING,
    )  # fmt: skip
    for row, original, copy in (
        ("norm", "trunk/norm", "upsampled_7/norm"),
        ("kappa", "head_scf/kappa", "head_scf/kappa_7"),
    ):
        higher = np.mean([a > b for a in arrays[original] for b in arrays[copy]])
        measure = results[row].measures["auc@px=7"]
        assert measure.value == pytest.approx(higher)
        assert measure.low < measure.value < measure.high
        assert "10 subjects" in measure.method


def plain_edc(own, trust, limit) -> tuple[list[float], list[float]]:
    """Discard below every distinct confidence in turn."""
    shares, rates = [], []
    for level in sorted(set(trust.tolist())):
        kept = trust >= level
        shares.append(1 - kept.mean())
        rates.append(np.mean(own[kept] <= limit))
    return shares, rates


def packed(random, ties: bool):
    """300 pairs of a pack, and confidences of which many may be equal."""
    vectors = random.normal(size=(600, 8)).astype(np.float32)
    same = np.arange(300) < 200
    vectors[300:500] += 1.2 * vectors[:200]
    trust = np.linalg.norm(vectors, axis=1).astype(np.float32)
    if ties:
        trust = trust.round()
    first, second = np.arange(300), np.arange(300, 600)
    listed = made.tables(pairs={"first": first, "second": second, "same": same})
    cosine = np.array([made.cosines(vectors[[k]], vectors[[k + 300]])[0, 0] for k in range(300)])
    rows = made.rows({"trunk/embedding": vectors, "trunk/norm": trust})
    return rows, listed, cosine, same, np.minimum(trust[:300], trust[300:])


@pytest.mark.parametrize("ties", [False, True])
def test_error_over_discarded_pairs_by_discarding_them(ties: bool) -> None:
    rows, listed, cosine, same, trust = packed(np.random.default_rng(2), ties)
    params = quality.Params(fmr=0.05, discard=0.3)
    found = quality.evaluate(rows, listed, made.index(600), params, made.RESAMPLING)["norm"]
    limit = np.sort(cosine[~same])[::-1][5]  # five of a hundred impostor pairs are accepted
    shares, rates = plain_edc(cosine[same], trust[same], limit)
    curve = found.curves["edc"]
    np.testing.assert_allclose(curve["discard"], shares, atol=1e-12)
    np.testing.assert_allclose(curve["fnmr"], rates, atol=1e-12)
    last = max(k for k, share in enumerate(shares) if share <= 0.3 + 1e-9)
    assert found.measures["fnmr@discard=0"].value == pytest.approx(rates[0])
    assert found.measures["fnmr@discard=0.3"].value == pytest.approx(rates[last])
    grid = (np.arange(30000) + 0.5) / 1e5  # the area, point by point
    mean = np.mean(np.array(rates)[np.searchsorted(shares, grid, side="right") - 1])
    assert found.measures["pauc@discard=0.3"].value == pytest.approx(mean, abs=1e-4)
    assert found.measures["gain@discard=0.3"].value == pytest.approx(rates[0] - mean, abs=1e-4)
    for one in found.measures.values():
        assert one.low < one.value < one.high
        assert one.drawn.number == 200  # people, as the genuine pairs tell


def test_pairs_without_an_image_are_as_if_not_listed() -> None:
    rows, listed, *_ = packed(np.random.default_rng(2), ties=False)
    kept = np.delete(np.arange(600), [3, 305])  # of the first side of a pair, the second of another
    arrays = {f"trunk/{name}": rows.read("trunk", name)[kept] for name in ("embedding", "norm")}
    shorter = {name: np.delete(column, [3, 5]) for name, column in listed["pairs"].items()}
    found, expected = (
        quality.evaluate(made.rows(arrays), one, made.index(598, record=kept),
                         quality.Params(fmr=0.05), made.RESAMPLING)["norm"]
        for one in (listed, made.tables(pairs=shorter))
    )  # fmt: skip
    assert found.measures == expected.measures


@pytest.mark.parametrize("blocked", [False, True])
def test_a_set_of_known_people_uses_all_its_pairs(blocked: bool, monkeypatch) -> None:
    """Pair by pair; and in blocks of few rows, so that the highest impostors come from several."""
    if blocked:
        monkeypatch.setattr(_vectors, "SEARCH_CELLS", 1)
        monkeypatch.setattr(_vectors, "FEWEST_ROWS", 7)
        monkeypatch.setattr(quality, "CELLS_AT_A_TIME", 1000)
    random = np.random.default_rng(5)
    person = np.repeat(np.arange(30), random.integers(1, 8, 30))
    vectors = made.faces(random, person, 1.0, 6)
    trust = np.linalg.norm(vectors, axis=1)
    rows = made.rows({"trunk/embedding": vectors, "trunk/norm": trust})
    listed = made.index(len(person), label=person)
    listed.sha1[1] = listed.sha1[0]  # one image twice counts once
    params = quality.Params(fmr=0.05, discard=0.4)
    found = quality.evaluate(rows, made.tables(), listed, params, made.RESAMPLING)["norm"]

    cosine, own, others = made.cosines(vectors, vectors), [], []
    for i in range(len(person)):
        for j in range(i + 1, len(person)):
            if 1 not in (i, j):
                pair = cosine[i, j], min(trust[i], trust[j])
                (own if person[i] == person[j] else others).append(pair)
    scores, lower = np.array(own).T
    limit = sorted((score for score, _ in others), reverse=True)[int(0.05 * len(others))]
    shares, rates = plain_edc(scores, lower, limit)
    np.testing.assert_allclose(found.curves["edc"]["discard"], shares, atol=1e-12)
    np.testing.assert_allclose(found.curves["edc"]["fnmr"], rates, atol=1e-12)
    first = found.measures["fnmr@discard=0"]
    several = np.unique(np.delete(person, 1), return_counts=True)[1] > 1
    assert (first.count, first.drawn.number) == (len(own), several.sum())
    assert f"of {len(others)} impostor pairs" in first.method


def test_a_gain_is_nothing_by_chance_and_its_interval_holds_zero() -> None:
    """Confidences that know nothing; ends below 0 are not cut off."""
    random = np.random.default_rng(6)
    person = np.repeat(np.arange(40), 5)
    vectors = made.faces(random, person, 1.5)
    arrays = {"trunk/embedding": vectors}
    arrays["trunk/norm"] = random.random(len(person)).astype(np.float32)
    cosine = made.cosines(vectors, vectors)
    genuine = np.array([cosine[i, i - i % 5 :][:5].mean() for i in range(len(person))])
    arrays["head_wise/kappa"] = genuine.astype(np.float32)
    rows = made.rows(arrays, heads={"kappa": ("head_wise", "kappa")})
    found = quality.evaluate(
        rows, made.tables(), made.index(len(person), label=person), quality.Params(fmr=0.01),
        made.RESAMPLING,
    )  # fmt: skip
    chance, wise = (found[row].measures["gain@discard=0.2"] for row in ("norm", "kappa"))
    assert chance.low < 0 < chance.high
    assert wise.low > 0
    assert wise.value > chance.value
    assert wise.drawn.key == found["norm"].measures["gain@discard=0.2"].drawn.key


def test_without_pairs_of_both_kinds_there_is_no_curve() -> None:
    random = np.random.default_rng(7)
    vectors = random.normal(size=(6, 4)).astype(np.float32)
    rows = made.rows({"trunk/embedding": vectors, "trunk/norm": np.ones(6, np.float32)})
    for person in (np.arange(6), np.zeros(6, np.int64)):
        found = quality.evaluate(
            rows, made.tables(), made.index(6, label=person), quality.Params(), made.RESAMPLING
        )
        assert found["norm"].curves == {}


def test_lengths_from_elsewhere_discard_their_own_pairs() -> None:
    random = np.random.default_rng(7)
    person = np.repeat(np.arange(12), 5)
    index = made.index(60, label=person)
    here, there = (made.faces(random, person, noise) for noise in (0.5, 1.5))
    arrays = {"trunk/embedding": here, "external_mine/embedding": there}
    arrays |= {
        f"{model}/norm": random.random(60).astype(np.float32)
        for model in ("trunk", "external_mine")
    }
    rows = made.rows(arrays, external={"external mine": "external_mine"})
    params = quality.Params(fmr=0.01)
    found = quality.evaluate(rows, made.tables(), index, params, made.RESAMPLING)
    assert list(found) == ["norm", "external mine"]
    alone = made.rows(arrays, sizes={112: "external_mine"})
    expected = quality.evaluate(alone, made.tables(), index, params, made.RESAMPLING)["norm"]
    assert found["external mine"].measures == expected.measures != found["norm"].measures


def test_a_set_of_templates_without_names_is_an_error() -> None:
    columns = {name: np.arange(6) for name in ("record", "template", "media", "score")}
    listed = made.tables(templates=columns)
    rows = made.rows({"trunk/norm": np.ones(6, np.float32)})
    with pytest.raises(InputError, match="no image is of a person whom .*add the 1:N lists"):
        quality.evaluate(rows, listed, made.index(6), quality.Params(), made.RESAMPLING)


def test_replicates_of_the_curve_are_those_of_repeated_pairs() -> None:
    random = np.random.default_rng(3)
    trust, missed = random.integers(0, 6, 40).astype(float), random.random(40) < 0.4
    times = random.integers(0, 3, (5, 40))
    order, starts = _edc.tie_groups(trust)
    share, fnmr = _edc.edc(missed[order], times[:, order], starts)
    for k, repeated in enumerate(times):
        own = np.repeat(np.where(missed, 0.0, 1.0), repeated)
        shares, rates = plain_edc(own, np.repeat(trust, repeated), 0.5)
        for x in (0.0, 0.2, 0.5):
            at = max(i for i, s in enumerate(shares) if s <= x + 1e-9)
            assert _edc.height(share, fnmr, x)[k] == pytest.approx(rates[at])


def test_people_of_a_pack_are_linked_by_its_genuine_pairs() -> None:
    person = linked_people(7, np.array([0, 4, 2, 5]), np.array([1, 2, 1, 6]))
    assert person.tolist() == [0, 0, 0, 3, 0, 5, 5]
    chain = np.arange(50)
    assert set(linked_people(51, chain[::-1], chain[::-1] + 1)) == {0}


def test_magface_s_curve_stops_short_on_a_hundred_impostors() -> None:
    """Rank 99, 9, 0: two steps; with 101 impostors 100, 10, 1 has a third."""
    for impostors, limit in ((100, np.nan), (101, 1)):
        scores = np.append(np.linspace(1, 0, impostors), 0.5)
        same = np.arange(len(scores)) == impostors
        found = _edc.rejection_curve(scores, same, np.zeros(len(scores)))
        np.testing.assert_equal(found[2][0], limit)


def test_magface_s_curve_as_a_row() -> None:
    random = np.random.default_rng(4)
    count = 1500
    vectors = random.normal(size=(2 * count, 8)).astype(np.float32)
    same = np.arange(count) < 700
    vectors[count : count + 700] += vectors[:700]
    trust = np.linalg.norm(vectors, axis=1)
    listed = made.tables(
        pairs={"first": np.arange(count), "second": count + np.arange(count), "same": same}
    )
    rows = made.rows({"trunk/embedding": vectors, "trunk/norm": trust})
    found = quality.evaluate(
        rows, listed, made.index(2 * count), quality.Params(curve="magface"), made.RESAMPLING
    )["norm"]  # fmt: skip
    cosine = np.sum(unit(vectors[:count]) * unit(vectors[count:]), axis=1)
    fnmr, _, limit = _edc.rejection_curve(cosine, same, np.minimum(*trust.reshape(2, -1)))
    assert limit[0] == np.sort(cosine[~same])[-1]  # 799 // 10 // 10 // 10 is rank 0
    assert found.measures["fnmr@reject=0"].value == fnmr[0]
    assert found.measures["fnmr@reject=0.2"].value == fnmr[4]
    np.testing.assert_array_equal(found.curves["edc"]["fnmr"], fnmr[np.isfinite(fnmr)])
