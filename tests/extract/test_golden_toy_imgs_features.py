"""The published features of ten faces, through an exported list and back."""

from __future__ import annotations

import numpy as np

from stages.extract import export_list
from tests.extract.feature_sets import read_list, write_set
from tests.goldens import golden


@golden("magface/toy_imgs_features*.npz")
def test_toy_imgs_features(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = np.load(file)
    names = [str(name) for name in expected["names"]]
    write_set(tmp_path, "toy", names, expected["features"])
    export_list.main("toy", "trunk", "feat.list", "quality.list")
    paths, features = read_list(tmp_path / "feat.list")
    assert paths == names
    np.testing.assert_array_equal(features, expected["features"])
    exact = features.astype(np.float64)
    magnitudes = np.linalg.norm(exact, axis=1)
    np.testing.assert_allclose(magnitudes, expected["magnitudes_f64"], rtol=1e-12)
    unit = exact / magnitudes[:, None]
    np.testing.assert_allclose(unit @ unit.T, expected["cos_matrix"], atol=1e-12)
    qualities = [line.split() for line in (tmp_path / "quality.list").read_text().splitlines()]
    assert [path for path, _ in qualities] == names
    norms = np.array([norm for _, norm in qualities], np.float64)
    np.testing.assert_allclose(norms, expected["magnitudes_f64"], rtol=1e-6)
    assert np.argsort(norms).tolist() == expected["order"].tolist()
