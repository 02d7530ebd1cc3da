"""QMUL-SurvFace open set of BTNet: choice of branch, prototypes, curve."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import surveillance
from stages.protocols._vectors import unit
from tests.goldens import golden

LARGEST = 1000  # pixels; the reference leaves larger images out without a word


@golden("btnet/survface_branch_select*")
def test_branches(file) -> None:
    data = np.load(file)
    width, height = data["sizes_wh"].T
    names = [name for name in data.files if name != "sizes_wh"]
    # A branch that no array names is never the nearest, next or last: it cannot matter.
    named = set().union(*(data[name][data[name] > 0].tolist() for name in names))
    checked = 0
    for name in names:
        indicator, rule = name.split("_")
        pixels = surveillance.indicator_of(indicator, width, height)
        rule = "floor" if rule == "bottom" else rule
        chosen = surveillance.chosen_size(pixels, rule, sorted(named))
        np.testing.assert_array_equal(np.where(pixels > LARGEST, -1, chosen), data[name])
        checked += 1
    assert checked


@golden("btnet/survface_gallery_proto*")
def test_prototypes(file) -> None:
    data = np.load(file)
    persons, means = surveillance.prototypes(data["feat"], data["label"])
    np.testing.assert_array_equal(persons, np.unique(data["label"]))
    # Each addition in float32 rounds by at most 2^-24 of the sum so far.
    most = np.unique(data["label"], return_counts=True)[1].max()
    rounding = most * 2.0**-24 * np.abs(data["feat"]).max()
    if "proto_raw_mean" in data:
        np.testing.assert_allclose(means, data["proto_raw_mean"], rtol=1e-5, atol=rounding)
    np.testing.assert_allclose(unit(means), data["proto_norm"], atol=1e-6)


@golden("btnet/survface_openset_*")
def test_open_set(file) -> None:
    data = np.load(file)
    counts = surveillance.open_set(
        unit(data["G"]), unit(data["K"]), data["K_label"], unit(data["U"])
    )
    threshold, hits, alarms = data["DIR_th_dir_far"].T
    np.testing.assert_allclose(counts.thresholds, threshold, atol=2e-6)
    # a score that sits on a threshold may fall to either side
    np.testing.assert_allclose(counts.tpir(), hits, atol=1.01 / len(data["K"]))
    np.testing.assert_allclose(counts.fpir(), alarms, atol=1.01 / len(data["U"]))
    assert np.mean(np.abs(counts.tpir() - hits) > 1e-6) < 0.01
    area = surveillance.area(counts.fpir(), counts.tpir())
    assert area == pytest.approx(float(data["auc"]), abs=1e-5)
    for far, rate in zip(data["fars"], data["tpir20"], strict=True):
        found = surveillance.tpir_at(far, counts.fpir(), counts.tpir())
        assert found == pytest.approx(float(rate), abs=1e-6)
