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
        pixels, _ = self.images.batch(rows, uniform, self.schedule.augment, self.schedule.resampler)
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


def all_trained(root: Path) -> dict[str, dict[str, Any]]:
    return {kind: trained(root, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[int, list[dict[str, dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("project")
    project(folder, {})
    return on_ranks(functools.partial(all_trained, folder), tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_train_one_head(results, ranks: int, kind: str) -> None:
    alone = results[1][0][kind]
    for state in (of_rank[kind] for of_rank in results[ranks]):
        for part, expected in alone["modules"].items():
            torch.testing.assert_close(state["modules"][part], expected, rtol=BOUND, atol=BOUND)
        for metrics, expected in zip(state["history"], alone["history"], strict=True):
            assert metrics == pytest.approx(expected, rel=BOUND, abs=BOUND)
