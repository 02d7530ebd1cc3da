"""1:N of insightface (both scripts), AdaFace and BTNet."""

from __future__ import annotations

import numpy as np
import pytest

from stages.protocols import identification
from stages.protocols._search import search
from stages.protocols._vectors import positions, unit
from stages.protocols.identification import OpenSet
from tests.goldens import golden
from tests.protocols import made


@golden("ijb/one_to_n*", "btnet/ijbc_1toN*", "adaface/dir_far*")
def test_search(file) -> None:
    """The arrays of each kind, by their names."""
    data = np.load(file)
    checked = 0
    if "gallery1" in data:
        checked += insightface(data)
    if "gallery_feat" in data:
        checked += btnet(data)
    if "tf_open" in data:
        checked += adaface(data)
    assert checked


def merged(gallery, gallery_ids, probes, probe_ids, fpir: list[float], ranks: list[int]):
    """The protocol itself on lists that say what the arrays say."""
    count = len(gallery) + len(probes)
    listed = made.tables(
        templates={"record": np.arange(count), "template": np.arange(count),
                   "media": np.zeros(count, int), "score": np.ones(count)},
        galleries={"gallery": np.full(len(gallery), "G1", object),
                   "template": np.arange(len(gallery)), "subject": gallery_ids},
        probes={"template": np.arange(len(gallery), count), "subject": probe_ids},
    )  # fmt: skip
    arrays = {"trunk/descriptor_mean": np.concatenate([gallery, probes])}
    rows = made.rows(arrays, settings={}, descriptors={"mean": ("trunk", "mean")})
    params = identification.Params(definition="merged", fpir=fpir, ranks=ranks)
    return identification.evaluate(rows, listed, made.index(1), params, made.RESAMPLING)["mean"]


def insightface(data) -> int:
    gallery = np.concatenate([data["gallery1"], data["gallery2"]])
    ids = np.concatenate([data["gallery1_ids"], data["gallery2_ids"]])
    np.testing.assert_array_equal(positions(ids, data["probe_ids"]), data["mask"])
    wanted = data["ijb1n_far_recall_thr"]
    found = merged(
        gallery, ids, data["probe"], data["probe_ids"], wanted[:, 0].tolist(), [1, 5, 10]
    )
    ranks = [found.measures[f"rank{k}"].value for k in (1, 5, 10)]
    np.testing.assert_allclose(ranks, data["ijb1n_top1_5_10"], atol=1e-12)
    np.testing.assert_allclose(ranks, data["adaface_top1_5_10"], atol=1e-12)
    rates = [found.measures[f"tpir@fpir={x:g}"].value for x in wanted[:, 0]]
    np.testing.assert_allclose(rates, wanted[:, 1], atol=1e-12)
    np.testing.assert_allclose(found.curves["cmc"]["rate"], data["cmc_1_20"], atol=1e-12)
    one = search(unit(data["probe"]), unit(gallery), data["mask"], keep=40)
    alarms = np.ceil(len(data["probe"]) * wanted[:, 0] - 1e-9).astype(int)
    np.testing.assert_allclose(one.highest[alarms - 1], wanted[:, 2], atol=1e-6)
    return galleries_alone(data)


def galleries_alone(data) -> int:
    """ijb_evals: the threshold is one alarm stricter than FPIR allows (our default is not)."""
    person = np.zeros(len(data["probe"]), int)
    counts, rates = np.zeros(3), []
    for g in ("1", "2"):
        mate = positions(data[f"gallery{g}_ids"], data["probe_ids"])
        found = search(unit(data["probe"]), unit(data[f"gallery{g}"]), mate)
        hits = [np.sum((found.rank > 0) & (found.rank <= k)) for k in (1, 5, 10)]
        np.testing.assert_array_equal(hits, data[f"ijbevals_g{g}_top_counts"])
        counts += hits
        one = OpenSet.of(found, mate, person)
        quoted = []
        for far, threshold in zip(data["ijbevals_fars"], data[f"ijbevals_g{g}_thr"], strict=True):
            index = max(int(len(one.alarms) * far) - 1, 0)
            assert one.alarms[index] == pytest.approx(threshold, abs=1e-6)
            quoted.append(np.mean(one.own > one.alarms[index]))
            assert one.tpir(far) >= quoted[-1]
            assert one.tpir(index / len(one.alarms)) == quoted[-1]
        np.testing.assert_allclose(quoted, data[f"ijbevals_g{g}_tpir"], atol=1e-12)
        rates.append(quoted)
    np.testing.assert_allclose(np.mean(rates, axis=0), data["ijbevals_mean_tpir"], atol=1e-12)
    shares = counts / len(data["probe"])
    np.testing.assert_allclose(shares, data["ijbevals_mean_top1_5_10"], atol=1e-12)
    return 1


def btnet(data) -> int:
    mate = positions(data["gallery_subject"], data["probe_subject"])
    np.testing.assert_array_equal(mate, data["mask"])
    fars = data["fars"].tolist()
    found = merged(data["gallery_feat"], data["gallery_subject"], data["probe_feat"],
                   data["probe_subject"], fars, [1, 5, 10])  # fmt: skip
    most = int(np.ceil(len(mate) * max(fars)))
    one = search(unit(data["probe_feat"]), unit(data["gallery_feat"]), mate, keep=most)
    for k in (1, 5, 10):
        assert np.mean(one.rank <= k) == pytest.approx(float(data[f"top{k}"][0]))
        if k < len(data["gallery_feat"]):
            assert found.measures[f"rank{k}"].value == np.mean(one.rank <= k)
    for far, rate, threshold in zip(fars, data["pr"], data["th"], strict=True):
        alarms = int(np.ceil(len(mate) * far))
        assert one.highest[alarms - 1] == pytest.approx(threshold, abs=1e-6)
        assert np.mean(one.own > one.highest[alarms - 1]) == pytest.approx(rate)
        if len(mate) * far >= 1:
            assert found.measures[f"tpir@fpir={far:g}"].value == pytest.approx(rate)
    return 1


def adaface(data) -> int:
    """Scores given; TinyFace rounds the number of alarms, IJB-S truncates it."""
    score, label = data["score"], data["label"]
    mated = label.any(axis=1)
    own = np.where(label, score, -np.inf).max(axis=1)[mated]
    rank = 1 + np.sum(np.where(label, -np.inf, score)[mated] > own[:, None], axis=1)
    alarms = np.sort(np.where(label, -np.inf, score)[~mated].max(axis=1))[::-1]
    found, person = -np.sort(-np.where(rank == 1, own, -np.inf)), np.zeros(len(own), int)
    for prefix, ranks, whole, threshold in (
        ("tf", (1, 5, 20), np.round, "rounded"),
        ("ijbs", (1, 5, 10), np.trunc, "truncated"),
    ):
        closed = [np.mean(rank <= k) for k in ranks]
        np.testing.assert_allclose(closed, data[f"{prefix}_closed"], atol=1e-6)
        theirs = OpenSet(found, person, found, alarms, person, threshold)
        ours = OpenSet(found, person, found, alarms, person)
        for k, far in enumerate((0.01, 0.1)):
            quoted = theirs.tpir(far)
            assert quoted == pytest.approx(data[f"{prefix}_open"][k], abs=1e-6)
            count = int(whole(len(alarms) * far))
            limit = alarms[count - 1] if count else alarms[0]
            assert limit == pytest.approx(data[f"{prefix}_open_thr"][k], abs=2e-5)
            assert count / len(alarms) == pytest.approx(data[f"{prefix}_open_far"][k], abs=1e-6)
            # as many alarms, and the lowest threshold that admits no more
            assert ours.tpir(count / len(alarms)) >= quoted
    return 1
