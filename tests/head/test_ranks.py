"""A head trained on one, two and three ranks is the same head."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.core.checkpoints import Checkpoints
from stages.core.fit import fit
from stages.core.params import load
from stages.core.ranks import size
from stages.head import sets, uncertainty
from stages.head.frozen import Frozen
from tests.groups import on_ranks
from tests.head.made import SHARED, project

KINDS = {
    "scf": {"batch": 5},  # two batches of 4 images: unequal shares on three ranks
    "scf_g": {"batch": 5},
    "pfe_g": {"batch": 3, "images": 3},  # a person for each of three ranks
    "pfe_v": {"batch": 3, "images": 2},
    "coreset": {"batch": 5, "views": 2, "largest": 5},
    "coreset of images": {"batch": 5, "largest": 5, "source": "images"},
}
BOUND = 1e-9


class InFloat64(Frozen):
    """The trunk in double precision."""

    def bodies(self, rows: np.ndarray, uniform: np.ndarray) -> torch.Tensor:
        self.network.double()
        pixels, _ = self.images.batch(rows, uniform, self.recipe.augment, self.recipe.resampler)
        with torch.no_grad():
            return self.network.body(self.contract.normalise(torch.from_numpy(pixels)).double())

    @torch.no_grad()
    def embed(self, bodies: torch.Tensor) -> torch.Tensor:
        return self.network.embed(bodies)


def trained(root: Path, kind: str) -> dict[str, Any]:
    """What the last checkpoint says."""
    os.chdir(root)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    name = kind.split()[0]
    own = SHARED | {"epochs": 4} | KINDS[kind]
    if name == "coreset":
        # Rounding decides what Adam makes of gamma's tiny gradient, and which of two equal
        # distances, those to an image that was chosen twice, that gradient is of.
        own |= {"optimizer": "sgd", "gamma_lr": 1.0, "points": 2, "dropout": 0.0}
    heads, settings = load("heads", name, own, name)
    folders = Path("models/train"), Path("data/align/faces")
    frozen = InFloat64(*folders, settings, torch.device("cpu"), 1)
    module = uncertainty if hasattr(heads, "loss") else sets
    task = module.prepare_task(heads, settings, frozen, name, 0)
    folder = root / str(size()) / kind
    folder.mkdir(parents=True, exist_ok=True)
    saved = Checkpoints(folder)
    fit(name, task.modules, settings, task.rows, task.step, saved, folder / "log", 0)
    torch.set_default_dtype(torch.float32)
    return saved.load()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    project(folder, {})
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_train_one_head(root: Path, tmp_path: Path, kind: str) -> None:
    alone, *others = on_ranks(functools.partial(trained, root, kind), tmp_path).values()
    for states in others:
        for state in states:
            for part, expected in alone[0]["modules"].items():
                torch.testing.assert_close(state["modules"][part], expected, rtol=BOUND, atol=BOUND)
            for metrics, expected in zip(state["history"], alone[0]["history"], strict=True):
                assert metrics == pytest.approx(expected, rel=BOUND, abs=BOUND)
