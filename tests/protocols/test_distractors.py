"""MegaFace's search and verification against loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import _vectors, distractors
from stages.protocols._result import rate_name
from tests.protocols import made

PEOPLE = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])  # of the probes; one has a single image
OTHERS = 60


def surveyed(noise: float = 1.2):
    person = np.concatenate([PEOPLE, np.arange(4, 4 + OTHERS)])
    arrays = {
        f"{model}/{name}": made.faces(np.random.default_rng(3), person, noise * factor)
        for model, factor in (("trunk", 1), ("branch_7", 1.3))
        for name in ("embedding", "mirrored")
    }
    role = np.repeat(["probe", "distractor"], [len(PEOPLE), OTHERS])
    subject = np.append(PEOPLE, np.full(OTHERS, -1))
    listed = made.tables(
        distractors={"record": np.arange(len(role)), "role": role, "subject": subject}
    )
    settings = {"112&112": ("trunk", "trunk"), "112&7": ("trunk", "branch_7")}
    return arrays, listed, made.rows(arrays, settings=settings)


def test_every_pair_of_probes_among_the_first_n_distractors(monkeypatch) -> None:
    monkeypatch.setattr(_vectors, "SEARCH_CELLS", 30)
    monkeypatch.setattr(_vectors, "FEWEST_ROWS", 1)
    monkeypatch.setattr(distractors, "AT_A_TIME", 7)
    arrays, listed, rows = surveyed()
    far = [k / 1800 for k in range(3, 361)]  # of 600 pairs one, one and a third, .. up to 120
    params = distractors.Params(sizes=[10, 30, 1000], far=[*far, 1e-6])
    results = distractors.evaluate(rows, listed, made.index(70), params, made.RESAMPLING)
    for row, (first, second) in rows.settings.items():
        gallery, probes = (
            arrays[f"{model}/embedding"] + arrays[f"{model}/mirrored"] for model in (first, second)
        )
        table = made.cosines(probes[:10], gallery)
        pairs = [(i, j) for i in range(10) for j in range(10) if i != j and PEOPLE[i] == PEOPLE[j]]
        own = np.array([table[i, j] for i, j in pairs])
        measures = results[row].measures
        rates = {rate_name("tar@far=", x): x for x in far}
        assert set(measures) == {"rank1@n=10", "rank1@n=30", "rank1@n=60", *rates}
        ranks = [1 + np.sum(table[i, 10:] > table[i, j]) for i, j in pairs]
        for n in (10, 30, 60):
            best = np.array([table[i, 10 : 10 + n].max() for i, _ in pairs])
            assert measures[f"rank1@n={n}"].value == np.mean(own > best)
            assert measures[f"rank1@n={n}"].count == 20
        cmc = results[row].curves["cmc"]["rate"]
        np.testing.assert_allclose(cmc, [np.mean(np.array(ranks) <= k) for k in range(1, 21)])
        impostor = table[:, 10:].reshape(-1)
        accepted = [(np.mean(own >= t), np.mean(impostor >= t)) for t in np.append(own, 9)]
        for name, x in rates.items():
            assert measures[name].value == max(right for right, wrong in accepted if wrong <= x)
        assert measures["rank1@n=60"].drawn.number == 3


def test_a_distractor_that_equals_the_mate_takes_its_rank() -> None:
    """As in the uncleaned set; products of other shapes differ in their last bits."""
    count, random = 40, np.random.default_rng(0)
    first, second = random.normal(size=(2, count, 64)).astype(np.float32)
    probes = np.stack([first + second, first - 0.5 * second], axis=1).reshape(-1, 64)
    more = random.normal(size=(11, 64)).astype(np.float32)
    vectors = np.concatenate([probes, probes[1::2], more])
    person = np.repeat(np.arange(count), 2)
    listed = made.tables(distractors={
        "record": np.arange(len(vectors)),
        "role": np.repeat(["probe", "distractor"], [len(probes), len(vectors) - len(probes)]),
        "subject": np.append(person, np.full(len(vectors) - len(probes), -1)),
    })  # fmt: skip
    rows = made.rows({"trunk/embedding": vectors, "trunk/mirrored": vectors})
    params = distractors.Params(sizes=[], far=[1e-2])
    (result,) = distractors.evaluate(
        rows, listed, made.index(len(vectors)), params, made.RESAMPLING
    ).values()
    assert [m.value for name, m in result.measures.items() if name.startswith("rank1")] == [0]
    assert result.curves["cmc"]["rate"][0] == 0


def test_a_mate_that_scores_as_the_threshold_is_refused() -> None:
    """Two equal probes and a distractor equal to both: one false accept may be, two are."""
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    role = np.array(["probe", "probe", "distractor", "distractor"])
    listed = made.tables(
        distractors={"record": np.arange(4), "role": role, "subject": np.array([5, 5, -1, -1])}
    )
    params = distractors.Params(flip=False, far=[0.25, 0.5])
    rows = made.rows({"trunk/embedding": vectors})
    found = distractors.evaluate(rows, listed, made.index(4), params, made.RESAMPLING)["112&112"]
    assert found.measures["tar@far=2.5e-1"].value == 0
    assert found.measures["tar@far=5e-1"].value == 1


def test_images_that_are_lost_are_as_if_not_listed() -> None:
    arrays, listed, rows = surveyed()
    kept = np.random.default_rng(0).permutation(np.delete(np.arange(70), [1, 30]))
    rows = replace(rows, read=lambda model, name: arrays[f"{model}/{name}"][kept])
    shorter = {name: np.delete(c, [1, 30]) for name, c in listed["distractors"].items()}
    params, found = distractors.Params(sizes=[10, 40], far=[1e-2]), []
    for one in (listed, made.tables(distractors=shorter)):
        index = made.index(68, record=kept)
        results = distractors.evaluate(rows, one, index, params, made.RESAMPLING)
        found.append(results["112&7"].measures)
    assert "2 images lost" in found[0]["rank1@n=40"].method
    assert [m.value for m in found[0].values()] == [m.value for m in found[1].values()]
    assert found[0]["rank1@n=40"].count == 2 + 2 + 12


def test_without_mates_or_distractors_it_is_an_error() -> None:
    _, listed, rows = surveyed()
    columns = listed["distractors"]
    columns["subject"][:10] = np.arange(10)
    with pytest.raises(InputError, match="0 pairs of one person's probes, 60 distractors"):
        distractors.evaluate(rows, listed, made.index(70), distractors.Params(), made.RESAMPLING)
