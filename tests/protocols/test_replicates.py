"""Replicates against measures of repeated trials; the counts that mark a measure, against loops."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from stages.protocols import (
    _bootstrap,
    _search,
    _verification,
    distractors,
    identification,
    quality,
    surveillance,
)
from stages.protocols._bootstrap import Resampling, effective_count
from stages.protocols._edc import rejection_curve
from stages.protocols._roc import Scores
from stages.protocols._vectors import unit
from tests.protocols import made

RESAMPLING = Resampling(replicates=25, seed=3)
TRIALS = np.array([5, 1, 7, 2, 4, 3, 6])  # of each person; all orders are random


def weights(people: int, resampling: Resampling = RESAMPLING):
    """Number and integer weights of each replicate."""
    return enumerate(resampling.weights(people).astype(int))


def numbered(person: np.ndarray) -> np.ndarray:
    """People as numbers 0.. in ascending order."""
    return np.array([sorted(set(person.tolist())).index(one) for one in person])


def recorded(monkeypatch, module, name: str = "measure") -> None:
    """Let the module return what it hands to `measure`, or the errors it hands to `marked`.

    Of what it hands to `ordering`, the number of people, misordered pairs and errors.
    """

    def measure(value, samples, count, drawn, note="", errors=None, effective=None, alarms=np.inf):
        return SimpleNamespace(value=value, told=(errors, effective, alarms))

    def marked(value, interval, count, method, samples, drawn, errors, lowest=0.0):
        return SimpleNamespace(value=value, told=errors)

    def ordering(value, samples, count, drawn, people, misordered, errors=None):
        return SimpleNamespace(value=value, count=count, told=(people, misordered, errors))

    monkeypatch.setattr(module, name, {"measure": measure, "marked": marked}[name])
    if hasattr(module, "ordering"):
        monkeypatch.setattr(module, "ordering", ordering)


def told(errors: float, effective: float | None, alarms: float):
    return (errors, None if effective is None else pytest.approx(effective), pytest.approx(alarms))


def all_pairs(random, ties: bool = False):
    """Scores of all pairs of a set; a pair's first person may be above or below its second."""
    person = random.permutation(np.repeat(np.arange(7) * 10, TRIALS))
    left, right = np.triu_indices(len(person), 1)
    same = person[left] == person[right]
    scores = random.normal(size=len(same)) * 0.4 + same
    return (scores.round(1) if ties else scores).astype(np.float32), same, person, left, right


@pytest.mark.parametrize("groups", [128, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_verification_counts_pairs_as_often_as_their_people_are_drawn(
    groups: int, ties: bool, monkeypatch
) -> None:
    """Genuine pairs w times, impostors v * w times, but w times within a group drawn w times."""
    monkeypatch.setattr(_bootstrap, "MOST_CLUSTERS", groups)
    monkeypatch.setattr(_bootstrap, "BLOCK", 7)
    monkeypatch.setattr(_bootstrap, "CELLS_A_BATCH", 100)
    scores, same, person, left, right = all_pairs(np.random.default_rng(0), ties)
    people = RESAMPLING.pairs(person, left, right, same)
    rates = {"tar@far=1.25e-1": 0.125, "tar@far=2.5e-1": 0.25, "tar@far=5e-1": 0.5}
    found = _verification.verification(
        scores, same, people, list(rates.values()), "at_most", RESAMPLING
    ).measures
    group, number = RESAMPLING.grouped(person)
    assert people.drawn.number == number == min(groups, 7)
    for k, weight in weights(number):
        first, second = weight[group[left]], weight[group[right]]
        times = np.where(group[left] == group[right], first, first * second)
        roc = Scores(np.repeat(scores, times), np.repeat(same, times)).roc
        assert found["auc"].samples[k] == pytest.approx(roc.auc(), abs=1e-6)
        assert found["eer"].samples[k] == pytest.approx(roc.eer(), abs=1e-6)
        for name, far in rates.items():
            if not ties:  # between equal scores a replicate's TAR is on a straight line
                assert found[name].samples[k] == pytest.approx(roc.tar(far), abs=1e-6)


def test_two_hundred_people_are_redrawn_in_128_groups() -> None:
    person = np.repeat(np.arange(200), 2)
    left, right = np.arange(399), np.arange(1, 400)
    same = person[left] == person[right]
    people = RESAMPLING.pairs(person, left, right, same)
    assert people.drawn.number == 128
    assert people.drawn.method == "bootstrap over 200 subjects in 128 groups, 25 replicates"
    assert max(people.genuine.max(), people.first.max(), people.second.max()) == 127
    assert people.person.tolist() == list(range(200))  # trials are those of people, not of groups


def searched(random):
    """Two galleries of seven people each, and 2 to 8 probes of each person."""
    subject = 100 + random.permutation(14)
    probes = random.permutation(np.repeat(subject, random.integers(2, 9, 14)))
    ids = 3 * random.permutation(14 + len(probes))
    listed = made.tables(
        templates={"record": ids // 3, "template": ids, "media": ids, "score": np.ones(len(ids))},
        galleries={"gallery": np.where(np.arange(14) % 2, "G2", "G1").astype(object),
                   "template": ids[:14], "subject": subject},
        probes={"template": ids[14:], "subject": probes},
    )  # fmt: skip
    vectors = made.faces(random, np.append(subject, probes) - 100, 1.6)
    descriptors = {"trunk/descriptor_mean": vectors[np.argsort(ids)]}
    rows = made.rows(descriptors, settings={}, descriptors={"mean": ("trunk", "mean")})
    return rows, listed, made.cosines(vectors[14:], vectors[:14]), subject, probes


def identified(rows, listed, **options):
    params = identification.Params(ranks=[1, 3], fpir=[0.1, 0.25], **options)
    return identification.evaluate(rows, listed, made.index(1), params, RESAMPLING)["mean"].measures


@pytest.mark.parametrize("rule", ["at_most", "rounded"])
def test_iso_searches_for_the_probes_of_the_people_drawn(rule: str, monkeypatch) -> None:
    """Also the strangers to a gallery are redrawn, and with them the threshold."""
    monkeypatch.setattr(identification, "REPLICATES_AT_A_TIME", 8)
    rows, listed, _, _, probes = searched(np.random.default_rng(1))
    found, columns = identified(rows, listed, threshold=rule), dict(listed["probes"])
    assert set(found) == {"rank1", "rank3", "tpir@fpir=0.1", "tpir@fpir=0.25"}
    for k, weight in weights(14):
        for name, column in columns.items():
            listed["probes"][name] = np.repeat(column, weight[numbered(probes)])
        for name, again in identified(rows, listed, threshold=rule).items():
            assert found[name].samples[k] == pytest.approx(again.value, abs=1e-6)


def test_merged_counts_hits_above_one_threshold() -> None:
    rows, listed, table, subject, probes = searched(np.random.default_rng(1))
    found = identified(rows, listed, definition="merged")
    mate = subject == probes[:, None]
    own, wrong = table[mate], np.sort(table[~mate])[::-1]
    rank = 1 + np.sum(table > own[:, None], axis=1)
    hits = {f"rank{r}": rank <= r for r in (1, 3)}
    for fpir in (0.1, 0.25):
        hits[f"tpir@fpir={fpir}"] = own > wrong[int(np.ceil(fpir * len(probes))) - 1]
    assert set(found) == set(hits)
    for k, weight in weights(14):
        for name, hit in hits.items():
            expected = np.mean(np.repeat(hit, weight[numbered(probes)]))
            assert found[name].samples[k] == pytest.approx(expected, abs=1e-6)


def closed(rank: np.ndarray, person: np.ndarray):
    own, drawn = np.linspace(1, 0, len(rank)) ** 2, RESAMPLING.drawn(person)
    return _search.closed_set(
        rank, own, person, 9, [1, 2, 8, 9], RESAMPLING.weights(3), drawn, "note"
    )[0]  # fmt: skip


def test_closed_set_counts_searches_of_the_people_drawn() -> None:
    person, rank = np.array([2, 0, 1, 2, 2, 1]), np.array([1, 2, 9, 3, 1, 1])
    found = closed(rank, person)
    assert set(found) == {"rank1", "rank2", "rank8"}  # nine entries: rank 9 is certain
    for k, weight in weights(3):
        repeated = np.repeat(rank, weight[person])
        for limit in (1, 2, 8):
            expected = pytest.approx(np.mean(repeated <= limit), abs=1e-6)
            assert found[f"rank{limit}"].samples[k] == expected
    assert np.all(closed(np.ones(6, int), person)["rank1"].samples == 1)


def surveyed(random):
    """Seven people with probes of fewer distractors, and one whose probe is alone."""
    person = random.permutation(np.repeat(np.arange(8) * 5, np.append(TRIALS - 1, 2)))
    role = np.repeat(["probe", "distractor"], [len(person), 50])
    subject = np.append(person, np.full(50, -1))
    vectors = made.faces(random, np.append(numbered(person), np.arange(8, 58)), 1.0)
    order = random.permutation(len(role))
    listed = made.tables(
        distractors={"record": order, "role": role[order], "subject": subject[order]}
    )
    rows = made.rows({"trunk/embedding": vectors, "trunk/mirrored": vectors})
    probe = order[role[order] == "probe"]
    others = order[role[order] == "distractor"]
    pairs = np.array([(i, j) for i in probe for j in probe if i != j and person[i] == person[j]])
    table = made.cosines(vectors, vectors)
    own, best = table[pairs[:, 0], pairs[:, 1]], table[pairs[:, 0]][:, others]
    impostor = np.sort(table[probe][:, others].ravel())[::-1]
    hits = {f"rank1@n={n}": own > best[:, :n].max(axis=1) for n in (20, 50)}
    for name, far in (("tar@far=1e-1", 0.1), ("tar@far=5e-3", 0.005)):
        hits[name] = own > impostor[int(far * len(impostor))]
    params = distractors.Params(sizes=[20], far=[0.1, 0.005])

    def evaluated():
        index = made.index(len(role))
        return distractors.evaluate(rows, listed, index, params, RESAMPLING)["112&112"].measures

    return evaluated, hits, own, person[pairs[:, 0]], len(impostor)


def test_distractors_count_pairs_of_probes_of_the_people_drawn() -> None:
    evaluated, hits, _, person, _ = surveyed(np.random.default_rng(2))
    found = evaluated()
    assert set(found) == set(hits)
    for k, weight in weights(len(set(person.tolist()))):
        for name, hit in hits.items():
            expected = np.mean(np.repeat(hit, weight[numbered(person)]))
            assert found[name].samples[k] == pytest.approx(expected, abs=1e-6)


def native(random):
    """Nine people of the gallery, of whom two have no probe and the others unequally many."""
    mated = np.repeat(np.array([0, 1, 3, 4, 5, 7, 8]), TRIALS)
    person = np.concatenate([np.repeat(np.arange(9), 2), mated, np.arange(9, 52)])
    role = np.repeat(["gallery", "mated", "unmated"], [18, len(mated), 43])
    order = random.permutation(len(person))
    person, role = person[order], role[order]
    listed = made.tables(surveillance={
        "record": np.arange(len(person)), "role": role,
        "subject": np.where(role == "unmated", -1, 10 * person),
    })  # fmt: skip
    vectors = made.faces(random, person, 1.2)
    rows, params = made.rows({"trunk/embedding": vectors}), surveillance.Params(fpir=[0.3, 0.1])
    gallery = [vectors[(role == "gallery") & (person == one)].mean(axis=0) for one in range(9)]

    def evaluated():
        index = made.index(len(person))
        return surveillance.evaluate(rows, listed, index, params, RESAMPLING)["trunk"].measures

    parts = (unit(np.array(gallery)), unit(vectors[role == "mated"]), person[role == "mated"],
             unit(vectors[role == "unmated"]))  # fmt: skip
    return evaluated, surveillance.open_set(*parts), person[role == "mated"]


def open_set_plainly(own, best, grid) -> dict[str, float]:
    """TPIR at two FPIR and the area, threshold by threshold; all mates are listed."""
    hits = np.array([np.mean(own > t) for t in grid])
    alarms = np.array([np.mean(best > t) for t in grid])
    area = sum((alarms[k] - alarms[k + 1]) * (hits[k] + hits[k + 1]) / 2 for k in range(999))
    rates = {}
    for fpir in (0.3, 0.1):
        distance = np.abs(alarms.astype(np.float32) - np.float32(fpir))
        rates[f"tpir20@fpir={fpir}"] = hits[list(distance).index(distance.min())]
    return rates | {"auc": area}


@pytest.mark.parametrize("groups", [128, 16])
def test_surveillance_redraws_mated_people_and_unmated_images_apart(
    groups: int, monkeypatch
) -> None:
    """Images, or groups of two or three of them, by the next seed; people of no probe stay out."""
    monkeypatch.setattr(_bootstrap, "MOST_CLUSTERS", groups)
    evaluated, counts, person = native(np.random.default_rng(3))
    found, (image, number) = evaluated(), RESAMPLING.grouped(np.arange(43))
    assert number == min(groups, 43)
    images = Resampling(25, seed=4).weights(number).astype(int)
    for k, weight in weights(7):
        own = np.repeat(counts.own, weight[numbered(person)])
        best = np.repeat(counts.best, images[k][image])
        expected = open_set_plainly(own, best, counts.thresholds)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name].samples[k] == pytest.approx(value, abs=1e-6), name


def pack(random, impostors: int = 70, noise: float = 0.7):
    """A pack that names nobody: genuine pairs of seven people, a chain each, and of strangers."""
    person = random.permutation(np.repeat(np.arange(7), TRIALS + 1))
    chains = [np.flatnonzero(person == one) for one in range(7)]
    own = np.concatenate([np.stack([chain[:-1], chain[1:]], axis=1) for chain in chains])
    strangers = len(person) + np.arange(impostors)
    other = np.stack([random.integers(0, len(person), impostors), strangers], axis=1)
    vectors = made.faces(random, np.append(person, strangers - len(person) + 7), noise, 6)
    order = random.permutation(len(own) + impostors)
    listed = made.tables(pairs={
        "first": np.append(own, other, axis=0)[order, 0],
        "second": np.append(own, other, axis=0)[order, 1],
        "same": order < len(own),
    })  # fmt: skip
    count = len(vectors)
    arrays = {
        "trunk/embedding": vectors,
        "trunk/norm": random.integers(0, 6, count).astype(np.float32),
        "upsampled_7/norm": random.integers(-2, 5, count).astype(np.float32),
    }
    # people are numbered by their first images, strangers by their only ones
    first = np.append(np.array([chain[0] for chain in chains])[person], strangers)
    return made.rows(arrays, upsampled={7: "upsampled_7"}), listed, made.index(count), first


def qualified(rows, listed, index, **options):
    params = quality.Params(**options)
    return quality.evaluate(rows, listed, index, params, RESAMPLING)["norm"].measures


def repeated_pairs(listed, first: np.ndarray):
    """Each replicate's number, once the list holds its genuine pairs and all impostor pairs."""
    pairs = dict(listed["pairs"])
    person = first[pairs["first"]]
    for k, weight in weights(7):
        times = np.ones(len(person), int)
        times[pairs["same"]] = weight[numbered(person[pairs["same"]])]
        for name, column in pairs.items():
            listed["pairs"][name] = np.repeat(column, times)
        yield k


def test_discarding_repeats_the_genuine_pairs_of_the_people_drawn(monkeypatch) -> None:
    """The threshold stays: it is that of all impostor pairs."""
    monkeypatch.setattr(quality, "CELLS_AT_A_TIME", 100)
    rows, listed, index, first = pack(np.random.default_rng(4))
    found = qualified(rows, listed, index, fmr=0.05, discard=0.3)
    assert found["gain@discard=0.3"].method == found["pauc@discard=0.3"].method
    for k in repeated_pairs(listed, first):
        again = qualified(rows, listed, index, fmr=0.05, discard=0.3)
        for name in ("fnmr@discard=0", "fnmr@discard=0.3", "pauc@discard=0.3", "gain@discard=0.3"):
            assert found[name].samples[k] == pytest.approx(again[name].value, abs=1e-6), name


def test_labels_redraw_the_pairs_that_a_list_of_all_would() -> None:
    person = np.random.default_rng(10).permutation(np.repeat(np.arange(7), TRIALS))
    _, seen = np.unique(person, return_index=True)
    person = np.argsort(np.argsort(seen))[person]  # numbered as a list numbers them
    left, right = np.triu_indices(len(person), 1)
    vectors = made.faces(np.random.default_rng(6), person, 1.0, 6)
    norm = np.random.default_rng(7).integers(0, 6, len(person)).astype(np.float32)
    rows = made.rows({"trunk/embedding": vectors, "trunk/norm": norm})
    named = made.index(len(person), label=person)
    pairs = {"first": left, "second": right, "same": person[left] == person[right]}
    one = qualified(rows, made.tables(), named, fmr=0.05)
    two = qualified(rows, made.tables(pairs=pairs), named, fmr=0.05)
    assert len(one) == 4
    for name, measure in one.items():
        assert measure.value == pytest.approx(two[name].value, abs=1e-6)
        np.testing.assert_allclose(measure.samples, two[name].samples, atol=1e-6)
        assert measure.drawn.number == two[name].drawn.number == 6  # one has a single image


def test_copies_are_redrawn_with_the_originals_of_their_people() -> None:
    """Of people whom genuine pairs link; an image that occurs twice is that of its first row."""
    rows, listed, index, first = pack(np.random.default_rng(8), impostors=20)
    index.sha1[:] = index.sha1[::-1].copy()
    index.sha1[5] = index.sha1[2]
    kept = np.arange(len(index)) != 5
    found = qualified(rows, listed, index, fmr=0.05)["auc@px=7"]
    original, copy = (rows.read(model, "norm")[kept] for model in ("trunk", "upsampled_7"))
    people = numbered(first[kept])
    assert found.count == len(people)
    assert found.drawn.number == 7 + 20
    for k, weight in weights(27):
        one, two = (np.repeat(trust, weight[people]) for trust in (original, copy))
        above = np.mean(one[:, None] > two) + np.mean(one[:, None] == two) / 2
        assert found.samples[k] == pytest.approx(above, abs=1e-6)


def magface_hits(rows, listed):
    """At both quoted shares: of the genuine pairs kept their scores, rows and misses."""
    pairs = listed["pairs"]
    left, right = pairs["first"], pairs["second"]
    vectors, trust = unit(rows.read("trunk", "embedding")), rows.read("trunk", "norm")
    scores = np.einsum("ij,ij->i", vectors[left], vectors[right])
    lower = np.minimum(trust[left], trust[right])
    _, kept, limit = rejection_curve(scores, pairs["same"], lower)
    for name, at in (("fnmr@reject=0", 0), ("fnmr@reject=0.2", 4)):
        own = np.array([k for k in kept[at] if pairs["same"][k]])
        yield name, scores[own], left[own], scores[own] <= limit[at], len(kept[at]) - len(own)


def test_magface_s_misses_are_those_of_the_people_drawn() -> None:
    rows, listed, index, first = pack(np.random.default_rng(9), impostors=300, noise=0.3)
    found = qualified(rows, listed, index, curve="magface")
    everybody = sorted(set(first[listed["pairs"]["first"][listed["pairs"]["same"]]].tolist()))
    for name, _, left, missed, _ in magface_hits(rows, listed):
        assert 0 < missed.sum() < len(missed)
        for k, weight in weights(7):
            times = weight[[everybody.index(one) for one in first[left]]]
            expected = np.mean(np.repeat(missed, times))
            assert found[name].samples[k] == pytest.approx(expected, abs=1e-6)


def test_verification_tells_misses_and_false_alarms(monkeypatch) -> None:
    """FAR 0.1 and 0.2 admit one and two of ten impostors: two misses and one; the EER is 1 / 4.

    Nearest to 0.1 is 0.2, since the point at 0.1 is on a straight line. Four genuine pairs, two of
    one person and equal: a pair has 1.5 of its person, so they are worth 4 / 1.5.
    """
    recorded(monkeypatch, _verification)
    genuine, impostor = [0.9, 0.5, 0.9, 0.2], [0.7, 0.6, 0.4, 0.3, 0.1, 0, 0, 0, 0, 0]
    person = np.array([0, 0, 1, 1, 2, 2, 0])
    left, right = np.array([0, 2, 0, 4] + [0] * 10), np.array([1, 3, 6, 5] + [2] * 10)
    same = np.arange(14) < 4
    people = RESAMPLING.pairs(person, left, right, same)
    scores = np.array(genuine + impostor, np.float32)
    for pick, misses in (("at_most", 2), ("nearest", 1)):
        found = _verification.verification(
            scores, same, people, [0.1, 0.2, 0.01], pick, RESAMPLING
        ).measures
        # 0.2 is below four impostors, 0.5 below two; two people make genuine pairs
        assert found["auc"].told == (2, 6, None)
        assert found["eer"].told == (2, 6, pytest.approx(0.25 * 4))
        assert found["tar@far=1e-1"].told == told(misses, 4 / 1.5, 1)
        assert found["tar@far=2e-1"].told == told(1, 4 / 1.5, 2)
        assert "tar@far=1e-2" not in found


def test_closed_set_tells_searches_whose_mate_is_not_found(monkeypatch) -> None:
    recorded(monkeypatch, _search)
    person, rank = np.array([2, 0, 1, 2, 2, 1]), np.array([1, 2, 9, 3, 1, 1])
    found = closed(rank, person)
    effective = effective_count(np.linspace(1, 0, 6) ** 2, person)
    for limit, errors in ((1, 3), (2, 2), (8, 1)):
        assert found[f"rank{limit}"].told == told(errors, effective, np.inf)


def test_distractors_tell_misses_and_false_alarms(monkeypatch) -> None:
    recorded(monkeypatch, distractors)
    evaluated, hits, own, person, impostors = surveyed(np.random.default_rng(2))
    alarms = {"tar@far=1e-1": 0.1 * impostors, "tar@far=5e-3": 0.005 * impostors}
    for name, found in evaluated().items():
        misses = sum(not hit for hit in hits[name])
        assert 0 < misses < len(own)
        expected = told(misses, effective_count(own, person), alarms.get(name, np.inf))
        assert found.told == expected


def test_iso_tells_misses_of_all_galleries_and_alarms_of_the_least(monkeypatch) -> None:
    recorded(monkeypatch, identification)
    recorded(monkeypatch, _search)
    rows, listed, table, subject, probes = searched(np.random.default_rng(1))
    found = identified(rows, listed)
    effective, strangers, misses = 0.0, [], dict.fromkeys((0.1, 0.25), 0)
    for parity in (0, 1):
        scores, names = table[:, parity::2], subject[parity::2]
        known = np.isin(probes, names)
        own = scores[known][names == probes[known][:, None]]
        first = own == scores[known].max(axis=1)
        highest = np.sort(scores[~known].max(axis=1))[::-1]
        effective += effective_count(own, probes[known])
        strangers.append(len(highest))
        for fpir in misses:
            misses[fpir] += sum(~first | (own <= highest[int(fpir * len(highest))]))
    assert strangers[0] != strangers[1]
    for fpir, count in misses.items():
        expected = told(pytest.approx(count), effective, fpir * min(strangers))
        assert found[f"tpir@fpir={fpir}"].told == expected
    mate = table[subject == probes[:, None]]
    rank = np.array([
        sum(line[np.flatnonzero(subject == one)[0] % 2 :: 2] >= own)
        for line, one, own in zip(table, probes, mate, strict=True)
    ])  # fmt: skip
    for limit in (1, 3):
        expected = told(sum(rank > limit), effective_count(mate, probes), np.inf)
        assert found[f"rank{limit}"].told == expected


def test_merged_tells_misses_and_wrong_scores_above_its_threshold(monkeypatch) -> None:
    recorded(monkeypatch, identification)
    rows, listed, table, subject, probes = searched(np.random.default_rng(1))
    found = identified(rows, listed, definition="merged")
    mate = subject == probes[:, None]
    own, wrong = table[mate], np.sort(table[~mate])[::-1]
    for fpir in (0.1, 0.25):
        alarms = int(np.ceil(fpir * len(probes)))
        misses = sum(own <= wrong[alarms - 1])
        assert found[f"tpir@fpir={fpir}"].told == told(
            misses, effective_count(own, probes), alarms
        )  # fmt: skip


def test_surveillance_tells_misses_and_false_alarms(monkeypatch) -> None:
    recorded(monkeypatch, surveillance)
    evaluated, counts, person = native(np.random.default_rng(3))
    found = evaluated()
    plain = open_set_plainly(counts.own, counts.best, counts.thresholds)
    misordered = (1 - plain["auc"]) * TRIALS.sum() * 43
    assert found["auc"].told == (7, pytest.approx(misordered), None)
    for fpir in (0.3, 0.1):
        errors = (1 - plain[f"tpir20@fpir={fpir}"]) * TRIALS.sum()
        effective = effective_count(counts.own, person)
        expected = told(pytest.approx(errors), effective, fpir * 43)
        assert found[f"tpir20@fpir={fpir}"].told == expected


def test_discarding_tells_the_misses_that_remain(monkeypatch) -> None:
    """The effective count shrinks with the pairs kept; a mean height has the errors of all."""
    for name in ("measure", "marked"):
        recorded(monkeypatch, quality, name)
    rows, listed, index, first = pack(np.random.default_rng(4))
    pairs, vectors = listed["pairs"], rows.read("trunk", "embedding")
    same, trust = pairs["same"], rows.read("trunk", "norm")
    scores = np.array([
        made.cosines(vectors[[i]], vectors[[j]])[0, 0]
        for i, j in zip(pairs["first"], pairs["second"], strict=True)
    ])  # fmt: skip
    lower = np.minimum(trust[pairs["first"]], trust[pairs["second"]])[same]
    own, highest = scores[same], np.sort(scores[~same])[::-1]
    effective = effective_count(own, first[pairs["first"]][same])
    level = max(x for x in set(lower.tolist()) if np.mean(lower < x) <= 0.5)
    for fmr in (0.05, 0.3):  # of 70 impostor pairs: 3.5 alarms, fewer than misses, and 21
        missed = own <= highest[int(fmr * 70)]
        found = qualified(rows, listed, index, fmr=fmr, discard=0.5)
        copies = rows.read("upsampled_7", "norm")
        above = np.sum(trust[:, None] < copies) + np.sum(trust[:, None] == copies) / 2
        assert found["auc@px=7"].told == (len(set(first.tolist())), above, None)
        for name, kept in (("fnmr@discard=0", lower >= 0), ("fnmr@discard=0.5", lower >= level)):
            share = effective * np.mean(kept)
            assert found[name].told == told(pytest.approx(sum(missed & kept)), share, fmr * 70)
        fewer = pytest.approx(min(sum(missed), fmr * 70))
        assert found["pauc@discard=0.5"].told == (None, None, fewer)
        assert found["gain@discard=0.5"].told == fewer
    assert 0 < sum(missed) < 21
    assert 0 < np.mean(lower < level) <= 0.5


def test_magface_tells_the_misses_and_a_thousandth_of_the_impostors_kept(monkeypatch) -> None:
    recorded(monkeypatch, quality)
    rows, listed, index, first = pack(np.random.default_rng(9), impostors=300, noise=0.3)
    found = qualified(rows, listed, index, curve="magface")
    for name, own, left, missed, impostors in magface_hits(rows, listed):
        expected = told(sum(missed), effective_count(own, first[left]), 0.001 * impostors)
        assert found[name].told == expected
