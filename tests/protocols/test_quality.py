"""Confidences against counting."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import quality
from tests.protocols import made


def test_a_confidence_tells_images_from_their_copies() -> None:
    random = np.random.default_rng(0)
    arrays = {
        "trunk/norm": random.normal(20, 2, 30).astype(np.float32),
        "upsampled_7/norm": random.normal(17, 2, 30).astype(np.float32),
        "head_scf/kappa": random.normal(500, 50, 30).astype(np.float32),
        "head_scf/kappa_7": random.normal(400, 90, 30).astype(np.float32),
    }
    rows = made.rows(arrays, upsampled={7: "upsampled_7"}, heads={"kappa": "head_scf"})
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
        assert not results[row].curves


@pytest.fixture
def scored():
    random = np.random.default_rng(1)
    same = np.arange(4000) < 2000
    confidence = random.random(4000)
    scores = random.normal(size=4000) * (1.3 - confidence) + 3 * same
    return scores.astype(np.float32), same, confidence


def test_rejection_curve(scored) -> None:
    scores, same, confidence = scored
    fnmr, genuine = quality.rejection_curve(scores, same, confidence, "at_most")
    for k in (0, 4, 19):
        kept = np.argsort(confidence)[int(quality.REJECTED[k] * 4000) :]
        own, others = scores[kept][same[kept]], scores[kept][~same[kept]]
        accepted = [t for t in np.append(scores, 9) if np.mean(others >= t) <= 1e-3]
        assert fnmr[k] == np.mean(own < min(accepted))
        assert genuine[k] == len(own)
    assert fnmr[10] < fnmr[0]  # it pays to refuse


def test_decades_stop_short_on_a_hundred_impostors() -> None:
    """Rank 99, 9, 0: two steps; with 101 impostors 100, 10, 1 has a third."""
    scores = np.linspace(1, 0, 101)
    assert quality._limit(scores[:100], "decades") is None
    assert quality._limit(scores, "decades") == 1
    assert quality._limit(np.array([]), "at_most") is None


def test_a_pair_is_as_sure_as_its_weaker_image() -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(200, 8)).astype(np.float32)
    norm = np.linalg.norm(vectors, axis=1)
    first, second = np.arange(100), np.arange(100, 200)
    same = np.arange(100) < 50
    listed = made.tables(pairs={"first": first, "second": second, "same": same})
    rows = made.rows({"trunk/embedding": vectors, "trunk/norm": norm})
    result = quality.evaluate(
        rows, listed, made.index(200), quality.Params(), made.RESAMPLING
    )["norm"]  # fmt: skip
    cosine = np.array([made.cosines(vectors[[k]], vectors[[k + 100]])[0, 0] for k in range(100)])
    weaker = np.minimum(norm[:100], norm[100:])
    expected = quality.rejection_curve(cosine, same, weaker, "at_most")[0]
    np.testing.assert_allclose(result.curves["reject"]["fnmr"], expected)
    assert result.measures["fnmr@reject=0.2"].value == expected[4]
