"""1:N of insightface (both scripts), AdaFace and BTNet."""

from __future__ import annotations

import re

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
    if "tf_open" in data or "ijbs_open" in data:
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


def galleries_of(data) -> list[str]:
    """Numbers of the galleries in the file, as text."""
    return sorted(match[1] for key in data.files if (match := re.fullmatch(r"gallery(\d+)", key)))


def ranks_named(name: str) -> list[int]:
    """x_top1_5_10: the ranks of its values."""
    return [int(number) for number in re.search(r"top([\d_]+)$", name)[1].split("_")]


def insightface(data) -> int:
    gallery = np.concatenate([data[f"gallery{g}"] for g in galleries_of(data)])
    ids = np.concatenate([data[f"gallery{g}_ids"] for g in galleries_of(data)])
    mate, probes = positions(ids, data["probe_ids"]), len(data["probe"])
    if "mask" in data:
        np.testing.assert_array_equal(mate, data["mask"])
    wanted = data["ijb1n_far_recall_thr"]
    fars = wanted[:, 0].tolist()
    tops = [key for key in data.files if re.fullmatch(r"(ijb1n|adaface)_top[\d_]+", key)]
    ranks = sorted({k for name in tops for k in ranks_named(name)})
    found = merged(gallery, ids, data["probe"], data["probe_ids"], fars, ranks)
    for name in tops:
        rates = [found.measures[f"rank{k}"].value for k in ranks_named(name)]
        np.testing.assert_allclose(rates, data[name], atol=1e-12)
    rates = [found.measures[f"tpir@fpir={x:g}"].value for x in fars]
    np.testing.assert_allclose(rates, wanted[:, 1], atol=1e-12)
    for name in [key for key in data.files if re.fullmatch(r"cmc_1_\d+", key)]:
        rates = found.curves["cmc"]["rate"][: len(data[name])]
        np.testing.assert_allclose(rates, data[name][: len(rates)], atol=1e-12)
    alarms = np.ceil(probes * wanted[:, 0] - 1e-9).astype(int)
    one = search(unit(data["probe"]), unit(gallery), mate, keep=alarms.max())
    np.testing.assert_allclose(one.highest[alarms - 1], wanted[:, 2], atol=1e-6)
    if "ijbevals_fars" in data:
        galleries_alone(data)
    return 1


def galleries_alone(data) -> None:
    """ijb_evals: the threshold is one alarm stricter than FPIR allows (our default is not)."""
    person = np.zeros(len(data["probe"]), int)
    tops = [key for key in data.files if key.startswith("ijbevals_mean_top")]
    ranks = ranks_named(tops[0]) if tops else [1, 5, 10]
    counts, rates = np.zeros(len(ranks)), []
    for g in galleries_of(data):
        mate = positions(data[f"gallery{g}_ids"], data["probe_ids"])
        found = search(unit(data["probe"]), unit(data[f"gallery{g}"]), mate)
        hits = [np.sum((found.rank > 0) & (found.rank <= k)) for k in ranks]
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
    for name in tops:
        np.testing.assert_allclose(counts / len(data["probe"]), data[name], atol=1e-12)


def subjects_of(data) -> tuple[np.ndarray, np.ndarray]:
    """Of gallery and probes; where the file has none, a probe's row in the gallery tells."""
    if "gallery_subject" in data and "probe_subject" in data:
        return data["gallery_subject"], data["probe_subject"]
    return np.arange(len(data["gallery_feat"])), data["mask"]


def btnet(data) -> int:
    gallery, probes = subjects_of(data)
    mate = positions(gallery, probes)
    if "mask" in data:
        np.testing.assert_array_equal(mate, data["mask"])
    fars = data["fars"].tolist()
    tops = {int(key[3:]): data[key] for key in data.files if re.fullmatch(r"top\d+", key)}
    found = merged(data["gallery_feat"], gallery, data["probe_feat"], probes, fars, sorted(tops))
    most = int(np.ceil(len(mate) * max(fars)))
    one = search(unit(data["probe_feat"]), unit(data["gallery_feat"]), mate, keep=most)
    for k, rate in tops.items():
        assert np.mean(one.rank <= k) == pytest.approx(rate.item())
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
        if f"{prefix}_open" not in data:
            continue
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
