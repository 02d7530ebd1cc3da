"""all_pairs and templates against loops over pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stages.core.errors import InputError
from stages.protocols import _vectors, all_pairs, templates
from stages.protocols._rows import Likelihood
from stages.protocols._subjects import NOBODY, people_of_pairs
from tests.protocols import made


def labelled(random, people: int = 6, images: int = 5):
    """Features of two resolutions of a labelled set."""
    person = random.permutation(np.repeat(np.arange(people), images))
    arrays = {
        f"{model}/{name}": made.faces(np.random.default_rng(9), person, noise)
        for model, noise in (("trunk", 0.8), ("branch_7", 1.5))
        for name in ("embedding", "mirrored")
    }
    settings = {"112&112": ("trunk", "trunk"), "112&7": ("trunk", "branch_7")}
    return person, arrays, made.rows(arrays, settings=settings)


def test_every_pair_once_first_at_r1_second_at_r2(monkeypatch) -> None:
    monkeypatch.setattr(_vectors, "SEARCH_CELLS", 100)
    monkeypatch.setattr(_vectors, "FEWEST_ROWS", 1)
    person, arrays, rows = labelled(np.random.default_rng(0))
    results = all_pairs.evaluate(
        rows, made.tables(), made.index(30, label=person), all_pairs.Params(), made.RESAMPLING
    )
    for row, (first, second) in rows.settings.items():
        left, right = (
            arrays[f"{model}/embedding"] + arrays[f"{model}/mirrored"] for model in (first, second)
        )
        table = made.cosines(left, right)
        scores = [table[i, j] for i in range(30) for j in range(i + 1, 30)]
        same = [person[i] == person[j] for i in range(30) for j in range(i + 1, 30)]
        measures = results[row].measures
        assert measures["auc"].value == pytest.approx(roc_auc_score(same, scores), abs=1e-6)
        assert measures["auc"].count == 30 * 29 / 2
        assert measures["tar@far=1e-1"].count == np.sum(same)
        assert set(measures) == {"auc", "eer", "tar@far=1e-1", "tar@far=1e-2"}  # 375 impostors
        for measure in measures.values():
            assert 0 <= measure.low <= measure.value <= measure.high <= 1
            assert measure.drawn.method == "bootstrap over 6 subjects, 200 replicates"
    roc = results["112&7"].curves["roc"]
    assert (roc["fmr"][0], roc["tmr"][-1]) == (0, 1)


def test_the_nearest_rate_without_mirror_images() -> None:
    """Both impostor pairs score alike: nearest to FAR 0.8 is 1. One of two is FAR 0.5."""
    vectors = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    params = all_pairs.Params(flip=False, pick="nearest", far=[0.8, 0.5, 0.4])
    found = all_pairs.evaluate(
        made.rows({"trunk/embedding": vectors}), made.tables(),
        made.index(3, label=np.array([0, 0, 1])), params, made.RESAMPLING,
    )["112&112"].measures  # fmt: skip
    assert set(found) == {"auc", "eer", "tar@far=8e-1", "tar@far=5e-1"}
    assert found["tar@far=8e-1"].value == 1  # 0 at most at FAR 0.8


def test_people_by_templates_and_images_that_occur_twice() -> None:
    """Two files of one image, in templates of one person, count once; strangers do not count."""
    random = np.random.default_rng(1)
    person = np.array([0, 0, 0, 1, 1, 1, 0, 9])  # image 6 is image 2 again; nobody knows image 7
    sha1 = np.array([f"{k:040x}" for k in (0, 1, 2, 3, 4, 5, 2, 7)], object)
    vectors = made.faces(random, person, 0.5)
    vectors[6] = vectors[2]
    arrays = {"trunk/embedding": vectors, "trunk/mirrored": vectors}
    listed = made.tables(
        templates={"record": np.arange(8) + 10, "template": np.array([1, 1, 2, 3, 3, 4, 5, 6]),
                   "media": np.zeros(8, int), "score": np.ones(8)},
        galleries={"gallery": np.array(["G1", "G1"], object), "template": np.array([1, 3]),
                   "subject": np.array([70, 80])},
        probes={"template": np.array([2, 4, 5]), "subject": np.array([70, 80, 70])},
    )  # fmt: skip
    results = all_pairs.evaluate(
        made.rows(arrays), listed, made.index(8, sha1=sha1, record=np.arange(8) + 10),
        all_pairs.Params(), made.RESAMPLING,
    )  # fmt: skip
    assert results["112&112"].measures["auc"].count == 15  # six images


def test_one_image_of_two_people_is_an_error() -> None:
    listed = made.tables(
        templates={"record": np.array([0, 0, 1]), "template": np.array([1, 2, 2]),
                   "media": np.zeros(3, int), "score": np.ones(3)},
        probes={"template": np.array([1, 2]), "subject": np.array([7, 8])},
    )  # fmt: skip
    with pytest.raises(InputError, match="record 0: it is in templates of subjects 7 and 8"):
        all_pairs.evaluate(
            made.rows({}), listed, made.index(2), all_pairs.Params(), made.RESAMPLING
        )


def test_a_set_of_one_person_is_an_error() -> None:
    with pytest.raises(InputError, match="3 images of 1 people"):
        all_pairs.evaluate(
            made.rows({}), made.tables(), made.index(3, label=np.zeros(3, int)),
            all_pairs.Params(), made.RESAMPLING,
        )  # fmt: skip


def templated(random):
    """24 templates of 8 people with gaps in their ids, and 200 pairs."""
    ids = np.sort(random.choice(1000, 24, replace=False))
    person = np.repeat(np.arange(8), 3)
    left, right = random.integers(0, 24, (2, 200))
    listed = made.tables(
        templates={"record": np.arange(24), "template": random.permutation(ids),
                   "media": np.zeros(24, int), "score": np.ones(24)},
        galleries={"gallery": np.full(8, "G1", object), "template": ids[::3],
                   "subject": person[::3]},
        probes={"template": np.delete(ids, np.arange(0, 24, 3)),
                "subject": np.delete(person, np.arange(0, 24, 3))},
        template_pairs={"first": ids[left], "second": ids[right],
                        "same": person[left] == person[right]},
    )  # fmt: skip
    arrays = {
        "trunk/descriptor_mean": made.faces(random, person, 1.0),
        "trunk/descriptor_norm": made.faces(random, person, 2.0),
        "branch_7/descriptor_mean": made.faces(random, person, 2.0),
        "branch_7/descriptor_norm": made.faces(random, person, 3.0),
    }
    rows = made.rows(
        arrays,
        settings={"112&7": ("trunk", "branch_7"), "pixels": ("pixels", "pixels")},
        descriptors={"mean": ("trunk", "mean"), "norm": ("trunk", "norm")},
    )
    return rows, listed, arrays, left, right, person


@pytest.mark.parametrize(
    ("fused", "descriptor"), [(False, "mean"), (True, "mean"), (False, "norm")]
)
def test_template_pairs_by_descriptor_and_setting(fused: bool, descriptor: str) -> None:
    rows, listed, arrays, left, right, person = templated(np.random.default_rng(2))
    rows = replace(rows, fuse=lambda a, b, name: (
        arrays[f"{a}/descriptor_{name}"] + 2 * arrays[f"{b}/descriptor_{name}"]
    ))  # fmt: skip
    params = templates.Params(fused=fused, descriptor=descriptor)
    results = templates.evaluate(rows, listed, made.index(24), params, made.RESAMPLING)
    trunk, branch = (arrays[f"{model}/descriptor_{descriptor}"] for model in ("trunk", "branch_7"))
    sides = {
        "mean": (arrays["trunk/descriptor_mean"],) * 2,
        "norm": (arrays["trunk/descriptor_norm"],) * 2,
        "112&7": (trunk + 2 * branch,) * 2 if fused else (trunk, branch),
    }
    assert set(results) == set(sides)
    same = person[left] == person[right]
    for row, (first, second) in sides.items():
        scores = made.cosines(first, second)[left, right]
        measures = results[row].measures
        assert measures["auc"].value == pytest.approx(roc_auc_score(same, scores), abs=1e-6)
        expected = max(
            np.mean(scores[same] >= t) for t in np.append(scores, 9)
            if np.mean(scores[~same] >= t) <= 0.1
        )  # fmt: skip
        assert measures["tar@far=1e-1"].value == expected
        assert "far_at_most" in measures["tar@far=1e-1"].method
        assert "tar@far=1e-3" not in measures  # fewer than 1000 impostors


def test_people_whom_no_list_names_are_those_that_genuine_pairs_link() -> None:
    rows, listed, *_, person = templated(np.random.default_rng(2))
    left, right = np.triu_indices(24, 1)
    same, ids = person[left] == person[right], np.unique(listed["templates"]["template"])
    linked = made.tables(
        templates=listed["templates"],
        template_pairs={"first": ids[left], "second": ids[right], "same": same},
    )
    params, index = templates.Params(), made.index(24)
    found = templates.evaluate(rows, linked, index, params, made.RESAMPLING)["mean"]
    assert found.measures["auc"].drawn.method == "bootstrap over 8 subjects, 200 replicates"
    subjects = np.where(np.arange(24) % 3 == 0, person, NOBODY)  # a template of each is named
    assert people_of_pairs(subjects, left[same], right[same]).tolist() == person.tolist()
    assert people_of_pairs(np.full(3, NOBODY), left[:0], right[:0]).tolist() == [-2, -3, -4]


def test_nearest_is_another_number_and_says_so() -> None:
    rows, listed, *_ = templated(np.random.default_rng(3))
    found = {
        pick: templates.evaluate(
            rows, listed, made.index(24), templates.Params(pick=pick, far=[0.02]), made.RESAMPLING
        )["mean"].measures["tar@far=2e-2"]
        for pick in ("at_most", "nearest")
    }
    assert "far_nearest" in found["nearest"].method
    assert found["nearest"].value >= found["at_most"].value


def test_unknown_template_and_one_kind_of_pairs_are_errors() -> None:
    rows, listed, *_ = templated(np.random.default_rng(2))
    pairs = listed["template_pairs"]
    for side in ("first", "second"):
        pairs[side][17] = 1001
        with pytest.raises(InputError, match=r"template_pairs.parquet: record 17: .* Remedy"):
            templates.evaluate(rows, listed, made.index(24), templates.Params(), made.RESAMPLING)
        pairs[side][17] = pairs[side][16]
    pairs["same"][:] = True
    with pytest.raises(InputError, match="200 of 200 pairs are genuine"):
        templates.evaluate(rows, listed, made.index(24), templates.Params(), made.RESAMPLING)


def test_a_set_without_the_list_is_an_error() -> None:
    with pytest.raises(InputError, match=r"made/tables/template_pairs.parquet: this set has no"):
        templates.evaluate(
            made.rows({}), made.tables(), made.index(2), templates.Params(), made.RESAMPLING
        )


def test_a_likelihood_is_a_row_of_its_own() -> None:
    """Scores of any size and sign; here the cosine times the confidences, less a thousand."""
    rows, listed, arrays, left, right, person = templated(np.random.default_rng(4))
    sure = np.random.default_rng(5).uniform(1, 2, 24)
    vectors = made.faces(np.random.default_rng(6), person, 1.0)

    def score(mu: np.ndarray, confidence: np.ndarray):
        table = made.cosines(mu, mu) * np.outer(confidence, confidence) - 1000
        return lambda i, j: table[i, j].astype(np.float32)

    likelihood = Likelihood("head", "kappa", "kappa", score)
    rows = replace(rows, likelihoods={"likelihood head": likelihood})
    arrays |= {"head/descriptor_kappa": vectors, "head/fused_kappa": sure}
    result = templates.evaluate(
        rows, listed, made.index(24), templates.Params(), made.RESAMPLING
    )["likelihood head"]  # fmt: skip
    expected = score(vectors, sure)(left, right)
    same = person[left] == person[right]
    assert result.measures["auc"].value == pytest.approx(roc_auc_score(same, expected), abs=1e-6)
    assert "scores" not in result.curves
