"""Features written batch by batch are those written at once, to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.evaluate.features import Features
from stages.extract.features import write_batches, write_features
from stages.extract.images import embed

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


def test_features_say_what_computed_them(tmp_path: Path) -> None:
    arrays = {"embedding": np.ones((2, 3), np.float32)}
    about = {"weights": "models/train sha256 0123"}
    write_features(tmp_path / "sets/trunk", arrays, about)
    write_batches(tmp_path / "sets/branches/branch_7", "none", 2, [arrays], about=about)
    write_batches(tmp_path / "sets/pixels", "none", 2, [arrays])
    write_features(tmp_path / "sets/head_scf", arrays, about)
    features = Features(tmp_path / "sets", images=2, templates=0)
    for model in ("trunk", "branches/branch_7", "pixels"):
        features.read(model, "embedding")
    assert features.origins() == {"trunk": about, "branches/branch_7": about}
