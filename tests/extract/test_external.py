"""Features from elsewhere become a model of the set, in its order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.check.code import ROOT
from stages.check.validate import validate
from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.index import read_index, write_index
from stages.core.params import read_params
from stages.evaluate.features import Features, choose_rows
from stages.evaluate.params import Params
from stages.extract.__main__ import main
from tests.head.made import project


@pytest.fixture
def vectors(tmp_path, monkeypatch) -> np.ndarray:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, {})
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["features"] = {"mine": {"dataset": "sets", "file": "mine.npz"}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)


def read(name: str) -> np.ndarray:
    return np.load(Path("data/features/sets/external_mine") / f"{name}.npy")


def test_in_place_of_a_model(vectors) -> None:
    np.savez("mine.npz", embedding=vectors)
    main("external_mine", "sets")
    np.testing.assert_array_equal(read("embedding"), vectors)
    np.testing.assert_array_equal(read("mirrored"), vectors)
    np.testing.assert_allclose(read("norm"), np.linalg.norm(vectors, axis=1), rtol=1e-6)
    by_norm = read("descriptor_norm")
    expected = vectors[[0, 1]].mean(0) + vectors[2] + vectors[3] + vectors[4]  # media
    np.testing.assert_allclose(by_norm[0], 2 * expected, rtol=1e-5)
    assert read("descriptor_mean").shape == (2, 7)
    about = json.loads(Path("data/features/sets/external_mine/model.json").read_text())
    assert about["file"] == f"mine.npz sha256 {sha256(Path('mine.npz'))}"
    assert about["descriptors"]["mean"]["media"] is True
    assert set(about["descriptors"]) == {"mean", "norm"}


def test_images_that_were_not_aligned_are_left_out(vectors) -> None:
    path = Path("data/align/sets/index.parquet")
    index = read_index(path)
    fields = {name: getattr(index, name)[[0, 1, 3, 4]] for name in index.__dataclass_fields__}
    write_index(path, type(index)(**fields))
    for given in (vectors, vectors[[0, 1, 3, 4]]):
        np.savez("mine.npz", embedding=given, mirrored=-given)
        main("external_mine", "sets")
        np.testing.assert_array_equal(read("embedding"), vectors[[0, 1, 3, 4]])
        np.testing.assert_array_equal(read("mirrored"), -vectors[[0, 1, 3, 4]])


def test_another_number_of_rows_is_refused(vectors) -> None:
    np.savez("mine.npz", embedding=vectors[:3])
    with pytest.raises(InputError, match="3 rows for the 5 images of sets"):
        main("external_mine", "sets")
    assert not Path("data/features/sets/external_mine").exists()


def test_they_are_rows_beside_the_models_here(vectors) -> None:
    np.savez("mine.npz", embedding=vectors)
    main("external_mine", "sets")
    features = Features(Path("data/features/sets"), images=5, templates=2)
    settings = Params(settings=[], baselines=[], descriptors=[])
    rows = choose_rows(features, settings, [], [], ["mine"])
    (row, left, right), *others = rows.images()
    assert (row, others) == ("external mine", [])
    np.testing.assert_array_equal(left, 2 * vectors)
    assert right is left
    assert [row for row, *_ in rows.templates("mean", fused=False)] == ["external mine"]


def test_an_entry_names_a_test_set_and_a_file_that_may_come_later(vectors, capsys) -> None:
    params = read_params(ROOT / "params.yaml")
    name = params["test_sets"][0]
    there = {"mine": {"dataset": name, "file": "mine.npz"}}
    validate(params | {"features": there})
    said = capsys.readouterr().err
    assert "features.mine.file: mine.npz is not there" in said
    assert "--keep-going" in said
    Path("mine.npz").touch()
    validate(params | {"features": there})
    assert "features" not in capsys.readouterr().err
    entry = {"mine": {"dataset": params["dataset"], "file": "mine.npz"}}
    with pytest.raises(InputError, match="features.mine.dataset"):
        validate(params | {"features": entry})
