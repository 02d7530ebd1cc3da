"""BTNet's IJB-C 1:1 with two resolutions in each image: features in, TAR out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.evaluate.features import Features
from stages.evaluate.fusion import fuser
from stages.protocols._roc import Scores
from stages.protocols._vectors import pair_scores, positions, unit
from tests.goldens import golden
from tests.protocols import made


@golden("btnet/ijbc_1to1*")
def test_fused_templates(file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.load(file)
    count = len(data["templates"])
    monkeypatch.chdir(tmp_path)
    settings = {"descriptors": {"mean": {"detector": True}}}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    for model, name in (("trunk", "embedding"), ("branch_7", "mirrored")):
        (tmp_path / model).mkdir()
        source = "feat_model1" if name == "embedding" else "feat_model2_flip"
        np.save(tmp_path / model / f"{name}.npy", data[source])
    listed = made.tables(
        templates={"record": np.arange(count), "template": data["templates"],
                   "media": data["medias"], "score": data["face_score"]}
    )  # fmt: skip
    fuse = fuser(Features(tmp_path, count, 0), listed, made.index(count))
    found = unit(fuse("trunk", "branch_7", "mean"))
    np.testing.assert_allclose(found, data["template_feats"], atol=1e-6)
    ids = data["unique_templates"]
    np.testing.assert_array_equal(ids, np.unique(data["templates"]))
    scores = pair_scores(found, found, positions(ids, data["p1"]), positions(ids, data["p2"]))
    np.testing.assert_allclose(scores, data["score"], atol=1e-6)
    piles = Scores(scores, data["label"] == 1)
    percent = [100 * piles.tar_nearest(x) for x in data["x_labels"]]
    np.testing.assert_allclose(percent, data["tar_percent"], atol=0.005)
