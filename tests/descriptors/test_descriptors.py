"""Descriptors against per-template loops."""

from __future__ import annotations

import numpy as np
import pytest

from stages.descriptors import coreset, kappa, mean, norm, precision
from stages.descriptors._pooling import Templates, weighted_sums


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def table(random: np.random.Generator) -> dict[str, np.ndarray]:
    """60 lines over 40 records: images in several templates, media shared by templates."""
    return {
        "record": random.permutation(np.concatenate([np.arange(40), random.integers(0, 40, 20)])),
        "template": random.choice([3, 5, 8, 900, 17], 60),
        "media": random.integers(0, 4, 60),
        "score": random.uniform(0.1, 1, 60).astype(np.float32),
    }


@pytest.fixture
def features(random: np.random.Generator) -> tuple[np.ndarray, ...]:
    length = random.uniform(0.2, 3, (40, 1))
    embedding, mirrored = (
        (random.normal(size=(40, 8)) * length).astype(np.float32) for _ in range(2)
    )
    own = np.linalg.norm(embedding, axis=1)
    return embedding, mirrored, own, random.uniform(1, 900, 40).astype(np.float32)


def templates_of(table: dict[str, np.ndarray], count: int = 40) -> Templates:
    return Templates.of(table, np.arange(count))


def looped(table, vectors, weight, media: bool) -> np.ndarray:
    """Template by template, medium by medium."""
    rows = []
    for one in sorted(set(table["template"].tolist())):
        mine = np.flatnonzero(table["template"] == one)
        groups = [mine[table["media"][mine] == m] for m in set(table["media"][mine].tolist())]
        means = [
            np.mean([weight[k] * vectors[table["record"][k]] for k in group], axis=0)
            for group in (groups if media else [[k] for k in mine])
        ]
        rows.append(np.sum(means, axis=0))
    return np.array(rows)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("detector", [True, False])
@pytest.mark.parametrize("media", [True, False])
def test_mean_and_norm_are_weighted_sums(table, features, flip, detector, media) -> None:
    embedding, mirrored, own, k = features
    vectors = embedding + mirrored if flip else embedding
    weight = table["score"] if detector else np.ones(60)
    options = {"flip": flip, "detector": detector, "media": media}
    for module, expected in ((mean, unit(vectors)), (norm, vectors)):
        ids, rows = module.describe(
            embedding, mirrored, templates_of(table), own, k, module.Params(**options)
        )
        assert ids.tolist() == [3, 5, 8, 17, 900]
        assert rows.dtype == np.float32
        np.testing.assert_allclose(
            rows, looped(table, expected, weight, media), rtol=2e-5, atol=1e-5
        )


@pytest.mark.parametrize("detector", [True, False])
def test_mean_of_unit_media(table, features, detector) -> None:
    embedding, mirrored, own, k = features
    _, rows = mean.describe(
        embedding, mirrored, templates_of(table), own, k,
        mean.Params(unit="media", detector=detector),
    )  # fmt: skip
    vectors = (embedding + mirrored)[table["record"]]
    vectors *= table["score"][:, None] if detector else 1
    for row, one in zip(rows, [3, 5, 8, 17, 900], strict=True):
        mine = table["template"] == one
        media = [
            vectors[mine & (table["media"] == m)].mean(axis=0)
            for m in set(table["media"][mine].tolist())
        ]
        np.testing.assert_allclose(row, unit(np.array(media)).sum(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("flip", [True, False])
def test_kappa_is_equation_14(table, features, flip) -> None:
    embedding, mirrored, own, k = features
    params = kappa.Params(flip=flip)
    _, rows = kappa.describe(embedding, mirrored, templates_of(table), own, k, params)
    directions = unit(embedding + mirrored if flip else embedding)
    for row, one in zip(rows, [3, 5, 8, 17, 900], strict=True):
        images = table["record"][table["template"] == one]
        expected = np.average(directions[images], axis=0, weights=k[images])
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


def test_kappa_by_media_and_equal_kappas_are_the_mean(table, features) -> None:
    embedding, mirrored, own, k = features
    options = (embedding, mirrored, templates_of(table), own)
    _, rows = kappa.describe(*options, np.full(40, 7.0), kappa.Params(media=True))
    _, expected = mean.describe(*options, k, mean.Params())
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)


def test_sums_of_rows_are_rows_of_sums(table, features) -> None:
    """Fused settings r1&r2 add descriptors: pooling must be linear in the embeddings."""
    embedding, mirrored, own, k = features
    templates = templates_of(table)
    options = norm.Params(flip=False)
    parts = [norm.describe(x, None, templates, own, k, options)[1] for x in (embedding, mirrored)]
    both = norm.describe(embedding + mirrored, None, templates, own, k, options)[1]
    np.testing.assert_allclose(sum(parts), both, atol=1e-5)


def test_images_that_align_left_out(table, features) -> None:
    """Rows follow the aligned index; a template without any image left is a row of zeros."""
    embedding, mirrored, own, k = features
    gone = set(table["record"][table["template"] == 17].tolist())
    kept = np.array([r for r in range(40) if r not in gone])
    templates = Templates.of(table, kept)
    assert templates.ids.tolist() == [3, 5, 8, 17, 900]
    for module in (mean, norm, kappa):
        _, rows = module.describe(
            embedding[kept], mirrored[kept], templates, own[kept], k[kept], module.Params()
        )
        assert not rows[3].any()
        assert np.isfinite(rows).all()
    lines = np.isin(table["record"], kept)
    expected = looped(
        {name: column[lines] for name, column in table.items()}, embedding + mirrored,
        np.ones(lines.sum()), True,
    )  # fmt: skip
    _, rows = norm.describe(
        embedding[kept], mirrored[kept], templates, own[kept], k[kept], norm.Params()
    )
    np.testing.assert_allclose(rows[[0, 1, 2, 4]], expected, rtol=2e-5, atol=1e-5)


def test_images_in_another_order_than_listed() -> None:
    """As many; the first of the features is the last of the list."""
    table = {"record": np.arange(3), "template": np.array([4, 5, 6]),
             "media": np.zeros(3, int), "score": np.ones(3)}  # fmt: skip
    templates = Templates.of(table, np.array([2, 0, 1]))
    assert templates.image.tolist() == [1, 2, 0]


def test_an_image_without_direction_counts_for_nothing() -> None:
    table = {"record": np.arange(2), "template": np.array([4, 4]), "media": np.zeros(2, int),
             "score": np.ones(2)}  # fmt: skip
    vectors = np.array([[0, 0], [3, 4]], np.float32)
    options = vectors, None, Templates.of(table, np.arange(2)), None, np.ones(2)
    assert mean.describe(*options, mean.Params())[1] == pytest.approx(np.array([[0.3, 0.4]]))
    assert kappa.describe(*options, kappa.Params())[1] == pytest.approx(np.array([[0.3, 0.4]]))


def test_the_last_templates_may_have_no_images() -> None:
    """Their rows are zeros, not what the memory held before."""
    vectors, two = np.ones((2, 4), np.float32), np.ones(2)
    for _ in range(20):
        np.full((3, 4), 7, np.float32)
        rows = weighted_sums(vectors, np.array([0, 1]), np.array([0, 0]), two, 3)
        assert rows.tolist() == [[2] * 4, [0] * 4, [0] * 4]


def test_read_only_memory_maps(table, features, tmp_path, recwarn) -> None:
    np.save(tmp_path / "e.npy", features[0])
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    _, rows = norm.describe(mapped, None, templates_of(table), None, None, norm.Params(flip=False))
    _, expected = norm.describe(
        features[0], None, templates_of(table), None, None, norm.Params(flip=False)
    )
    np.testing.assert_array_equal(rows, expected)
    assert not recwarn.list


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("width", [1, 8])
def test_precision_is_the_mean_of_a_product_of_gaussians(
    table, features, random, width, flip
) -> None:
    embedding, mirrored, own, _ = features
    sigma2 = random.uniform(0.01, 1, (40, width)).astype(np.float32)
    options = (embedding, mirrored, templates_of(table))
    _, rows = precision.describe(*options, own, sigma2, precision.Params(flip=flip))
    fused = {
        independent: precision.confidence(
            *options, sigma2, precision.Params(independent=independent)
        )[1]
        for independent in (True, False)
    }
    directions = unit(embedding + mirrored if flip else embedding)
    for k, one in enumerate([3, 5, 8, 17, 900]):
        images = table["record"][table["template"] == one]
        weight = np.broadcast_to(1 / sigma2[images], (len(images), 8))
        expected = np.sum(weight * directions[images], axis=0) / weight.sum(axis=0)
        np.testing.assert_allclose(rows[k], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fused[True][k], 1 / (1 / sigma2[images]).sum(0), rtol=1e-5)
        np.testing.assert_allclose(fused[False][k], sigma2[images].min(axis=0))


@pytest.mark.parametrize("flip", [True, False])
def test_confidence_of_a_template(table, features, flip) -> None:
    """A product of densities adds up kappa mu; frames that repeat each other do not."""
    embedding, mirrored, _, k = features
    options = (embedding, mirrored, templates_of(table), k)
    _, product = kappa.confidence(*options, kappa.Params(independent=True, flip=flip))
    _, surest = kappa.confidence(*options, kappa.Params(flip=flip))
    directions = unit(embedding + mirrored if flip else embedding)
    for row, one in enumerate([3, 5, 8, 17, 900]):
        images = table["record"][table["template"] == one]
        expected = np.linalg.norm(k[images] @ directions[images])
        np.testing.assert_allclose(product[row], expected, rtol=1e-5)
        assert surest[row] == k[images].max()


def test_templates_without_images_have_no_confidence(table, features, random) -> None:
    embedding, mirrored, own, k = features
    gone = set(table["record"][table["template"] == 17].tolist())
    kept = np.array([r for r in range(40) if r not in gone])
    options = (embedding[kept], mirrored[kept], Templates.of(table, kept))
    sigma2 = random.uniform(0.01, 1, (40, 8)).astype(np.float32)[kept]
    for independent in (True, False):
        settings = {"independent": independent}
        assert kappa.confidence(*options, k[kept], kappa.Params(**settings))[1][3] == 0
        _, fused = precision.confidence(*options, sigma2, precision.Params(**settings))
        np.testing.assert_allclose(fused[3], sigma2.max(axis=0), rtol=1e-6)
    _, rows = precision.describe(*options, own[kept], sigma2, precision.Params())
    assert not rows[3].any()


@pytest.mark.parametrize("flip", [True, False])
def test_coreset_sees_each_template_whole(table, features, flip) -> None:
    """The network gets unit embeddings and lengths, template by template, media ignored."""
    embedding, mirrored, own, _ = features
    kept = np.arange(1, 40)
    record_0 = table["template"][table["record"] == 0]

    def aggregate(directions, lengths, sizes):
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-5)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        sums = np.zeros((len(sizes), 8))
        np.add.at(sums, owner, directions * lengths[:, None])
        return sums

    templates = Templates.of(table, kept)
    params = coreset.Params(flip=flip)
    ids, rows = coreset.describe(
        embedding[kept], mirrored[kept], templates, own[kept], aggregate, params
    )
    vectors = (embedding + mirrored) / 2 if flip else embedding
    expected = looped(table, vectors, np.ones(60), False)
    for one in record_0:
        expected[ids.tolist().index(one)] -= vectors[0]
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_templates_are_numbered_in_ascending_order_whatever_their_ids() -> None:
    for ids in ([7, 3, 7, 9], [5, 10**12, 5], [-4, 2, -4], [1, 1, 8], [2**63 - 1, -(2**63)], []):
        table = {
            "record": np.arange(len(ids)), "template": np.array(ids, np.int64),
            "media": np.zeros(len(ids), int), "score": np.ones(len(ids), np.float32),
        }  # fmt: skip
        templates = Templates.of(table, np.arange(len(ids)))
        assert templates.ids.tolist() == sorted(set(ids))
        assert templates.ids[templates.template].tolist() == ids


@pytest.mark.parametrize("media", [[0, 1, 2, 3], [-(2**63), 2**63 - 1, 0, 10**12]])
def test_lists_in_order_and_media_of_any_number(table, features, media, monkeypatch) -> None:
    """As the published lists come; summed in many parts."""
    monkeypatch.setattr("stages.descriptors._pooling.LEAST", 1)
    table |= {
        "record": np.arange(40),
        "template": np.sort(table["template"][:40]),
        "media": np.array(media)[table["media"][:40]],
        "score": table["score"][:40],
    }
    embedding, _, own, k = features
    params = norm.Params(flip=False)
    ids, rows = norm.describe(embedding, None, templates_of(table), own, k, params)
    assert ids.tolist() == [3, 5, 8, 17, 900]
    expected = looped(table, embedding, np.ones(40), True)
    np.testing.assert_allclose(rows, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_none_is_an_error(row: int) -> None:
    vectors, one = np.ones((3, 4), np.float32), np.array([1.0, 1.0])
    with pytest.raises(IndexError, match="of 3"):
        weighted_sums(vectors, np.array([0, row]), np.array([0, 0]), one, 1)
