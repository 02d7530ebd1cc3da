"""What the curves and the faces of a report show: the right axis, the right image."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import all_pairs, quality, templates
from stages.protocols._faces import Items, faces
from stages.protocols._roc import Scores
from stages.protocols._subjects import template_images
from stages.protocols._verification import pair_curves
from tests.protocols import made

ROW = "112&112"


def at(*degrees: float) -> np.ndarray:
    """Vectors of length 1 at these angles, float32 [n, 2]."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_the_det_curve_is_what_the_roc_curve_misses() -> None:
    """Genuine .9 and .3, impostors .5 and .1: the second genuine pair comes after one impostor."""
    scores = np.array([0.9, 0.3, 0.5, 0.1], np.float32)
    curves = pair_curves(Scores(scores, np.array([True, True, False, False])), [])
    corners = [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    assert list(zip(curves["roc"]["fmr"], curves["roc"]["tmr"], strict=True)) == corners
    missed = [(fmr, 1 - tmr) for fmr, tmr in corners]
    assert list(zip(curves["det"]["fmr"], curves["det"]["fnmr"], strict=True)) == missed


@pytest.mark.parametrize("curve", ["iso", "magface"])
def test_the_curve_of_discarded_pairs_starts_where_none_is(curve: str) -> None:
    """The pairs of low confidence are the wrong ones: the curve falls as they go."""
    count = 400
    same = np.arange(count) < 200
    degrees = np.where(np.arange(count) < 20, 80, np.where(same, 10, 60))  # 20 genuine are missed
    vectors = np.concatenate([at(*np.zeros(count)), at(*degrees)])
    trust = np.where(np.arange(count) < 20, 1.0, 2.0) + np.arange(count) / 1e4
    arrays = {"trunk/embedding": vectors, "trunk/norm": np.tile(trust, 2).astype(np.float32)}
    first = np.arange(count)
    listed = made.tables(pairs={"first": first, "second": first + count, "same": same})
    params = quality.Params(curve=curve, fmr=0.01)
    index = made.index(2 * count)
    found = quality.evaluate(made.rows(arrays), listed, index, params, made.RESAMPLING)["norm"]
    edc = found.curves["edc"]
    assert (edc["discard"][0], edc["fnmr"][0]) == (0, pytest.approx(0.1))
    assert np.all(np.diff(edc["discard"]) > 0)
    gone = {"iso": 20 / 200, "magface": 20 / 400}[curve]  # of the genuine pairs, of all pairs
    after = edc["discard"] > gone - 1e-9
    assert np.all(edc["fnmr"][after] == 0)
    assert np.all(edc["fnmr"][~after] > 0)


def test_the_image_of_a_failing_person_is_of_his_worst_pair() -> None:
    """Impostors come first in the list, and the worst pair of a person last."""
    scores = np.array([0.6, 0.5, 0.9, 0.4, 0.3], np.float32)
    same = np.array([False, False, True, True, True])
    items = Items(np.arange(5), np.arange(5), np.arange(5) + 10)
    found = faces(Scores(scores, same), items, np.array([7, 7, 7]))["failures"]
    assert {name: column.tolist() for name, column in found.items()} == {
        "person": [7],
        "missed": [2],
        "pairs": [3],
        "image": [14],
    }


def test_people_fail_by_share_then_by_count_then_by_name() -> None:
    """Missed of their pairs: 3 of 9, 2 of 2, 1 of 3, 3 of 3, 1 of 3 again, and none of 1."""
    pairs = {5: (3, 9), 4: (2, 2), 9: (1, 3), 2: (3, 3), 1: (1, 3), 3: (0, 1)}
    person = np.repeat(list(pairs), [trials for _, trials in pairs.values()])
    own = np.concatenate([
        np.where(np.arange(trials) < missed, 0.1, 0.9) for missed, trials in pairs.values()
    ])  # fmt: skip
    scores = np.append(own, [0.5]).astype(np.float32)
    same = np.arange(len(scores)) < len(own)
    sides = np.arange(len(scores))
    found = faces(Scores(scores, same), Items(sides, sides, sides), person)["failures"]
    assert found["person"].tolist() == [2, 4, 5, 1, 9]
    assert found["missed"].tolist() == [3, 2, 3, 1, 1]
    assert found["pairs"].tolist() == [3, 2, 9, 3, 3]


def test_of_all_pairs_the_rows_of_the_aligned_index_are_shown() -> None:
    """Image 1 is image 0 again and counts once, so that the images do not stand at their rows."""
    label = np.array([0, 0, 0, 1, 1])
    sha1 = np.array(["a", "a", "b", "c", "d"], object)
    vectors = at(0, 0, 50, 40, 100)  # least alike of a person: 3 and 4; most of two: 2 and 3
    arrays = {"trunk/embedding": vectors, "trunk/mirrored": vectors}
    index = made.index(5, label=label, sha1=sha1)
    found = all_pairs.evaluate(
        made.rows(arrays), made.tables(), index, all_pairs.Params(), made.RESAMPLING
    )[ROW].curves
    hardest = found["hardest"]
    shown = list(zip(hardest["kind"], hardest["first"], hardest["second"], strict=True))
    assert shown[:3] == [("genuine", 3, 4), ("genuine", 0, 2), ("impostor", 2, 3)]
    np.testing.assert_allclose(hardest["score"][:3], np.cos(np.deg2rad([60, 50, 10])), atol=1e-6)
    assert found["failures"]["person"].tolist() == [0, 1]
    assert found["failures"]["image"].tolist() == [0, 3]


LISTED = {  # templates 30, 20, 40 and 10; image 0 of the last could not be aligned
    "record": np.array([15, 14, 13, 12, 11, 10]),
    "template": np.array([30, 30, 20, 40, 20, 10]),
    "media": np.zeros(6, int),
    "score": np.ones(6),
}
ALIGNED = np.array([11, 12, 13, 14, 15])


def test_a_template_shows_its_first_image_that_is_left() -> None:
    """In the order of the list, by the row of the aligned index: of 10, 20, 30 and 40."""
    listed, index = made.tables(templates=LISTED), made.index(5, record=ALIGNED)
    assert template_images(listed, index).tolist() == [-1, 2, 4, 1]


def test_of_template_pairs_an_image_of_each_is_shown() -> None:
    listed = made.tables(
        templates=LISTED,
        template_pairs={"first": np.array([40, 10, 30]), "second": np.array([30, 20, 20]),
                        "same": np.array([False, True, True])},
    )  # fmt: skip
    arrays = {"trunk/descriptor_mean": at(0, 20, 60, 90)}
    rows = made.rows(arrays, settings={}, descriptors={"mean": ("trunk", "mean")})
    index = made.index(5, record=ALIGNED)
    found = templates.evaluate(rows, listed, index, templates.Params(far=[0.5]), made.RESAMPLING)
    hardest = found["mean"].curves["hardest"]
    assert list(zip(hardest["kind"], hardest["first"], hardest["second"], strict=True)) == [
        ("genuine", 4, 2),
        ("genuine", -1, 2),
        ("impostor", 1, 4),
    ]
