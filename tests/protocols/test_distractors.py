"""MegaFace's search and verification against loops."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols import _vectors, distractors
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
    params = distractors.Params(sizes=[10, 30, 1000], far=[1e-2, 1e-6])
    results = distractors.evaluate(rows, listed, made.index(70), params, made.RESAMPLING)
    for row, (first, second) in rows.settings.items():
        gallery, probes = (
            arrays[f"{model}/embedding"] + arrays[f"{model}/mirrored"] for model in (first, second)
        )
        table = made.cosines(probes[:10], gallery)
        pairs = [(i, j) for i in range(10) for j in range(10) if i != j and PEOPLE[i] == PEOPLE[j]]
        own = np.array([table[i, j] for i, j in pairs])
        measures = results[row].measures
        assert set(measures) == {"rank1@n=10", "rank1@n=30", "rank1@n=60", "tar@far=1e-2"}
        ranks = [1 + np.sum(table[i, 10:] > table[i, j]) for i, j in pairs]
        for n in (10, 30, 60):
            best = np.array([table[i, 10 : 10 + n].max() for i, _ in pairs])
            assert measures[f"rank1@n={n}"].value == np.mean(own > best)
            assert measures[f"rank1@n={n}"].count == 20
        cmc = results[row].curves["cmc"]["rate"]
        np.testing.assert_allclose(cmc, [np.mean(np.array(ranks) <= k) for k in range(1, 21)])
        impostor = table[:, 10:].reshape(-1)
        expected = max(
            np.mean(own >= t) for t in np.append(own, 9) if np.mean(impostor >= t) <= 0.01
        )
        assert measures["tar@far=1e-2"].value == expected
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


def test_without_mates_or_distractors_it_is_an_error() -> None:
    _, listed, rows = surveyed()
    columns = listed["distractors"]
    columns["subject"][:10] = np.arange(10)
    with pytest.raises(InputError, match="0 pairs of one person's probes, 60 distractors"):
        distractors.evaluate(rows, listed, made.index(70), distractors.Params(), made.RESAMPLING)
