"""Features written batch by batch are those written at once, to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.core.contract import InputContract
from stages.core.files import sha256
from stages.descriptors import mean
from stages.evaluate.features import Features
from stages.extract.about import about
from stages.extract.features import FeatureWriter, save
from stages.extract.inference import embed
from stages.extract.job import Job
from stages.extract.params import Params
from tests.head.made import project

ROWS, DIMENSIONS = 9, 21


def tree(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("batch", [1, 4, 9])
def test_batches_are_written_as_the_whole_is(tmp_path: Path, batch: int) -> None:
    draw = np.random.default_rng(0)
    whole = {"embedding": draw.random((ROWS, DIMENSIONS)), "norm": draw.random(ROWS)}
    (tmp_path / "whole").mkdir()
    save(tmp_path / "whole", whole, {"side": 1})
    writer = FeatureWriter(tmp_path / "pieces", ROWS)
    for start in range(0, ROWS, batch):
        for name, values in whole.items():  # together or one by one
            writer.append({name: values[start : start + batch]})
    found = writer.arrays()
    assert found.keys() == whole.keys()
    assert all(isinstance(values, np.memmap) for values in found.values())
    save(tmp_path / "pieces", {}, {"side": 1})
    assert tree(tmp_path / "pieces") == tree(tmp_path / "whole")


@pytest.mark.parametrize("batch", [1, 4, 9])
def test_embeddings_do_not_depend_on_the_batch(batch: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(ROWS, 3, 2, 5)
    found = [embed(some, lambda images: images.flatten(1)) for some in images.split(batch)]
    embedding = images.flatten(1)
    expected = {
        "embedding": embedding,
        "mirrored": torch.flip(images, (3,)).flatten(1),
        "norm": embedding.norm(dim=1),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(np.concatenate([piece[name] for piece in found]), values)


def test_what_decides_features_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the weights alone: the resampler, the precision, and how templates are described."""
    monkeypatch.chdir(tmp_path)
    project(tmp_path, {})
    folder, contract = Path("models/train"), InputContract(embedding=4)
    settings = Params(resampler="opencv_linear", precision="bf16")
    job = Job("", "sets", folder, [], [], settings, 1, "cpu", "avx2")
    said = about(job, folder, contract, mean)
    assert said["weights"] == f"{folder} sha256 {sha256(folder / 'weights.safetensors')}"
    assert (said["resampler"], said["precision"]) == ("opencv_linear", "bf16")
    assert said["descriptors"] == {"mean": mean.Params().model_dump()}
    Path("data/unpack/sets/tables/templates.parquet").unlink()
    assert about(job, folder, contract, mean)["descriptors"] == {}


def test_features_say_what_computed_them(tmp_path: Path) -> None:
    arrays = {"embedding": np.ones((2, 3), np.float32)}
    said = {"weights": "models/train sha256 0123"}
    for model in ("trunk", "trunk/branch_7", "pixels", "heads/scf"):
        (tmp_path / model).mkdir(parents=True)
        save(tmp_path / model, arrays, said)
    (tmp_path / "pixels/model.json").unlink()
    features = Features(tmp_path, images=2, templates=0)
    for model in ("trunk", "trunk/branch_7", "pixels"):
        features.read(model, "embedding")
    assert features.origins() == {"trunk": said, "trunk/branch_7": said}
