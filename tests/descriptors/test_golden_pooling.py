"""Template features of insightface, AdaFace, FaceCoresetNet, BTNet and MagFace."""

from __future__ import annotations

import re

import numpy as np

from stages.descriptors import coreset, mean, norm
from stages.descriptors._pooling import Templates
from tests.goldens import golden
from tests.heads.published_coreset import published_network

METHOD = re.compile(r"ijb11_N(?P<keep>\d)D(?P<detector>\d)F(?P<flip>\d)_(?P<what>tmpl|score)")
INVERTED = re.compile(r"ijbevals_N(?P<keep>\d)D(?P<detector>\d)F(?P<flip>\d)_(?P<what>score)")


def listed(templates: np.ndarray, media: np.ndarray, score: np.ndarray | None) -> Templates:
    count = len(templates)
    score = np.ones(count, np.float32) if score is None else score
    table = {"record": np.arange(count), "template": templates, "media": media, "score": score}
    return Templates.of(table, np.arange(count))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scores(ids: np.ndarray, rows: np.ndarray, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
    rows = unit(rows.astype(np.float64))
    return np.sum(rows[np.searchsorted(ids, p1)] * rows[np.searchsorted(ids, p2)], axis=1)


def pooled(module, embedding, mirrored, templates, **options) -> np.ndarray:
    return module.describe(
        embedding, mirrored, templates, None, None, module.Params(**options)
    )[1]  # fmt: skip


def close(rows: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(unit(rows.astype(np.float64)), expected, atol=1e-6)


@golden("ijb/pooling*", "btnet/ijbc_1to1*", "magface/eval_ijb_toy*", "adaface/flip_fusion*")
def test_pooling(file) -> None:
    """The arrays of each kind, by their names."""
    data = np.load(file)
    checked = 0
    if "face_scores" in data:
        checked += insightface(data)
    if "fc_emb" in data:
        checked += adaface_and_coreset(data)
    if "feat_model1" in data:
        checked += btnet(data)
    if "q0__template_feats" in data or "q1__template_feats" in data:
        checked += magface(data)
    if any(key.endswith("_emb") and key != "fc_emb" for key in data.files):
        checked += fusion(data)
    assert checked


def insightface(data) -> int:
    """N1 keeps norms, D1 weights by the detector, F1 adds the mirror image."""
    templates = listed(data["templates"], data["medias"], data["face_scores"])
    checked = 0
    for name in data.files:
        match = METHOD.fullmatch(name) or INVERTED.fullmatch(name)
        if not match:
            continue
        keep, detector, flip = (match[part] == "1" for part in ("keep", "detector", "flip"))
        module = norm if keep != name.startswith("ijbevals") else mean
        rows = pooled(
            module, data["embs"], data["embs_flip"], templates, detector=detector, flip=flip
        )
        if match["what"] == "tmpl":
            close(rows, data[name])
        else:
            found = scores(templates.ids, rows, data["p1"], data["p2"])
            np.testing.assert_allclose(found, data[name], atol=1e-6)
        checked += 1
    same_ids(templates, data)
    return checked


def same_ids(templates: Templates, data) -> None:
    if "unique_templates" in data:
        np.testing.assert_array_equal(templates.ids, data["unique_templates"])


def fused_views(emb: np.ndarray, norms: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """AdaFace's ways to make one unit embedding and norm of several views [views, n, d]."""
    raw, mean = (emb * norms).sum(axis=0), norms.mean(axis=0)
    return {
        "norm_weighted_avg": (unit(raw), mean),
        "pre_norm_vector_add": (unit(raw), np.linalg.norm(raw, axis=1, keepdims=True)),
        "average": (unit(emb.sum(axis=0)), mean),
        "concat": (np.concatenate(list(emb), axis=1), mean),
    }


def adaface_and_coreset(data) -> int:
    """AdaFace's default fusion is the raw sum; FaceCoresetNet's baseline ignores media."""
    templates = listed(data["templates"], data["medias"], None)
    checked = 0
    if "adaface_pre_norm_vector_add_tmpl" in data:
        rows = pooled(norm, data["embs"], data["embs_flip"], templates)
        close(rows, data["adaface_pre_norm_vector_add_tmpl"])
        checked += 1
    views = np.stack([data["embs"], data["embs_flip"]])
    norms = np.linalg.norm(views, axis=2, keepdims=True)
    for method, (embedding, length) in fused_views(views / norms, norms).items():
        if f"adaface_{method}_tmpl" not in data:
            continue
        module = norm if method == "pre_norm_vector_add" else mean  # the one that keeps lengths
        rows = pooled(module, (embedding * length).astype(np.float32), None, templates, flip=False)
        close(rows, data[f"adaface_{method}_tmpl"])
        found = scores(templates.ids, rows, data["p1"], data["p2"])
        np.testing.assert_allclose(found, data[f"adaface_{method}_score"], atol=1e-6)
        checked += 2
    raw = data["fc_emb"] * data["fc_norms"]
    rows = pooled(norm, raw, None, templates, flip=False, media=False)
    close(rows, data["fc_mean_tmpl"])
    found = scores(templates.ids, rows, data["p1"], data["p2"])
    np.testing.assert_allclose(found, data["fc_mean_score"], atol=1e-6)
    if "fc_model_tmpl" in data:
        checked += published_model(data, raw, templates)
    return checked + 2


def published_model(data, raw: np.ndarray, templates: Templates) -> int:
    """The published network draws noise even here: near ties may go either way."""
    network = published_network(raw.shape[1], points=int(data["K"]) if "K" in data else 3)
    _, rows = coreset.describe(raw, None, templates, None, network.describe, coreset.Params())
    stable = np.ones(len(rows), bool)
    if "fc_model_stable" in data:
        stable = data["fc_model_stable"]
    rows, expected = unit(rows.astype(np.float64)), data["fc_model_tmpl"]
    np.testing.assert_allclose(rows[stable], expected[stable], atol=1e-5)
    pairs = [np.searchsorted(templates.ids, data[side]) for side in ("p1", "p2")]
    known = stable[pairs[0]] & stable[pairs[1]]
    found = scores(templates.ids, rows, data["p1"], data["p2"])
    np.testing.assert_allclose(found[known], data["fc_model_score"][known], atol=1e-5)
    return 2


def btnet(data) -> int:
    """The image at r1 and the mirror image at r2 are added, unit, times the detector's score."""
    templates = listed(data["templates"], data["medias"], data["face_score"])
    rows = pooled(mean, data["feat_model1"], data["feat_model2_flip"], templates, detector=True)
    same_ids(templates, data)
    close(rows, data["template_feats"])
    found = scores(templates.ids, rows, data["p1"], data["p2"])
    np.testing.assert_allclose(found, data["score"], atol=1e-6)
    count = len(data["face_score"])
    alone = listed(np.arange(count), np.zeros(count), data["face_score"])
    rows = pooled(mean, data["feat_model1"], data["feat_model2_flip"], alone, detector=True)
    if "img_input_feats" in data:
        np.testing.assert_allclose(rows, data["img_input_feats"], atol=1e-6)
    return 3


def magface(data) -> int:
    """q0 makes media means unit, q1 (MagFace+) keeps their length; score 1 - angle / pi."""
    templates = listed(data["templates"], data["medias"], None)
    for quality, module, options in (("q0", mean, {"unit": "media"}), ("q1", norm, {})):
        if f"{quality}__template_feats" not in data:
            continue
        rows = pooled(module, data["feats"], None, templates, flip=False, **options)
        close(rows, unit(data[f"{quality}__template_feats"].astype(np.float64)))
        found = scores(templates.ids, rows, data["p1"], data["p2"])
        angle = 1 - np.arccos(found.clip(-1, 1)) / np.pi
        np.testing.assert_allclose(angle, data[f"{quality}__scores"], atol=1e-5)
    return 4


def fusion(data) -> int:
    """Two views of an image as a template of two images: the sum of n e, and its length."""
    views, count, dimensions = data["emb"].shape
    templates = listed(np.tile(np.arange(count), views), np.zeros(views * count), None)
    raw = (data["emb"] * data["norms"]).reshape(-1, dimensions)
    rows = pooled(norm, raw, None, templates, flip=False, media=False)
    plain = pooled(mean, raw, None, templates, flip=False, media=False)
    of_method = {"pre_norm_vector_add": rows, "norm_weighted_avg": rows, "average": plain}
    for method, ours in of_method.items():
        if f"{method}_emb" in data:
            close(ours, data[f"{method}_emb"])
    if "pre_norm_vector_add_norm" in data:
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(lengths, data["pre_norm_vector_add_norm"], rtol=1e-5)
    for method, (embedding, length) in fused_views(data["emb"], data["norms"]).items():
        if f"{method}_emb" not in data:
            continue
        np.testing.assert_allclose(embedding, data[f"{method}_emb"], atol=1e-6)
        np.testing.assert_allclose(length, data[f"{method}_norm"], rtol=1e-5)
    return 8
