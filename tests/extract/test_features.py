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
from stages.extract.features import write_batches, write_features
from stages.extract.images import embed
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
    pieces = (
        {name: values[start : start + batch] for name, values in whole.items()}
        for start in range(0, ROWS, batch)
    )
    write_features(tmp_path / "whole", whole)
    write_batches(tmp_path / "pieces", "none", ROWS, pieces)
    assert tree(tmp_path / "pieces") == tree(tmp_path / "whole")


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def pieces():
        yield {"norm": np.ones(4)}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_batches(tmp_path / "model", "none", ROWS, pieces())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batch", [1, 4, 9])
def test_embeddings_do_not_depend_on_the_batch(batch: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(ROWS, 3, 2, 5)
    found = list(embed(images.split(batch), lambda some: some.flatten(1)))
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
    job = Job("", "sets", Path("out"), folder, [], settings, 0, 1, "cpu", "avx2")
    said = about(job, folder, contract, mean)
    assert said["weights"] == f"{folder} sha256 {sha256(folder / 'weights.safetensors')}"
    assert (said["resampler"], said["precision"]) == ("opencv_linear", "bf16")
    assert said["descriptors"] == {"mean": mean.Params().model_dump()}
    Path("data/unpack/sets/tables/templates.parquet").unlink()
    assert about(job, folder, contract, mean)["descriptors"] == {}


def test_features_say_what_computed_them(tmp_path: Path) -> None:
    arrays = {"embedding": np.ones((2, 3), np.float32)}
    said = {"weights": "models/train sha256 0123"}
    write_features(tmp_path / "sets/trunk", arrays, said)
    write_batches(tmp_path / "sets/branches/branch_7", "none", 2, [arrays], about=said)
    write_batches(tmp_path / "sets/pixels", "none", 2, [arrays])
    write_features(tmp_path / "sets/head_scf", arrays, said)
    features = Features(tmp_path / "sets", images=2, templates=0)
    for model in ("trunk", "branches/branch_7", "pixels"):
        features.read(model, "embedding")
    assert features.origins() == {"trunk": said, "branches/branch_7": said}
