"""Features from elsewhere become a model of the set, in its order."""

from __future__ import annotations

import json
from dataclasses import replace
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
from stages.extract import export_list
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
    with pytest.raises(InputError, match="3 rows for 5 images"):
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


def test_rows_are_put_in_order_by_their_names(vectors, capsys) -> None:
    """Of images of a pack, by their numbers; others that the set has not are refused."""
    order = [3, 0, 4, 2, 1]
    names = np.array([f"record_{k}" for k in order])
    np.savez("mine.npz", embedding=vectors[order], names=names)
    main("external_mine", "sets")
    np.testing.assert_array_equal(read("embedding"), vectors)
    about = json.loads(Path("data/features/sets/external_mine/model.json").read_text())
    assert (
        about["order"] == "the rows name the images of the set by their number and were put in "
        "its order"
    )
    assert f"mine.npz: {about['order']}" in capsys.readouterr().err
    np.savez("mine.npz", embedding=vectors, names=np.array([f"record_{k + 1}" for k in order]))
    with pytest.raises(InputError, match=r"without a row: 1 \('record 0'\); not of the set: 1"):
        main("external_mine", "sets")


def test_an_image_that_was_not_aligned_may_be_named_or_not(vectors) -> None:
    path = Path("data/align/sets/index.parquet")
    index = read_index(path)
    fields = {name: getattr(index, name)[[0, 1, 3, 4]] for name in index.__dataclass_fields__}
    write_index(path, type(index)(**fields))
    for order in ([3, 0, 4, 1], [3, 0, 2, 4, 1]):
        names = np.array([f"record_{k}" for k in order])
        np.savez("mine.npz", embedding=vectors[order], names=names)
        main("external_mine", "sets")
        np.testing.assert_array_equal(read("embedding"), vectors[[0, 1, 3, 4]])
    np.savez(
        "mine.npz", embedding=vectors[:3], names=np.array(["record_3", "record_0", "record_2"])
    )
    with pytest.raises(InputError, match=r"without a row: 2 \('record 1', 'record 4'\)"):
        main("external_mine", "sets")


def test_zeros_and_the_width_of_the_model(vectors) -> None:
    vectors[2] = 0
    np.savez("mine.npz", embedding=vectors)
    params = yaml.safe_load(Path("params.yaml").read_text())
    for dimensions, problem in ((7, None), (14, "correct"), (3, "correct")):
        params["features"]["mine"]["dimensions"] = dimensions
        Path("params.yaml").write_text(yaml.safe_dump(params))
        if problem:
            with pytest.raises(
                InputError, match=f"has 7 .* `dimensions` is {dimensions}.*{problem}"
            ):
                main("external_mine", "sets")
        else:
            main("external_mine", "sets")
    about = json.loads(Path("data/features/sets/external_mine/model.json").read_text())
    assert about["zeros"].startswith("1 of 5 rows of embedding are zeros ('record 2')")


@pytest.mark.parametrize("names", [["z/9.jpg", "a/1.jpg", "m/5.jpg", "b/2.jpg", "c/2.jpg"], None])
def test_an_exported_list_is_read_back(vectors, names) -> None:
    """Of images with paths, and of those that have numbers."""
    for stage in ("align", "unpack"):
        path = Path("data") / stage / "sets/index.parquet"
        index = read_index(path)
        source = index.source if names is None else np.array(names, object)
        write_index(path, replace(index, source=source))
    np.savez("mine.npz", embedding=vectors)
    main("external_mine", "sets")
    before = read("embedding")
    export_list.main("sets", "external_mine", "feat.list")
    shuffled = sorted(Path("feat.list").read_text().splitlines(keepends=True))
    Path("feat.list").write_text("".join(shuffled))
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["features"]["mine"]["file"] = "feat.list"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    main("external_mine", "sets")
    np.testing.assert_array_equal(read("embedding"), before)
