"""A small trunk with class centres, and a few people's images, in a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from stages.core.contract import InputContract
from stages.core.files import atomic_folder
from stages.core.index import write_table
from stages.core.weights import save_weights
from stages.datasets._store import ImageSetWriter
from stages.networks import iresnet
from stages.networks._files import CENTRES, fingerprint, save_network
from tests.datasets.samples import png

EMBEDDING = 16
SIDE = 14  # pixels
PEOPLE = (3, 1, 4)  # images of each
SHARED = {
    "epochs": 2, "batch": 3, "optimizer": "adam", "lr": 0.01,
    "augment": {"rotation": 10, "low_resolution": 0.5},
}  # fmt: skip


def project(root: Path, heads: dict[str, dict[str, Any]]) -> None:
    """params.yaml, a trunk, its branch for `SIDE`, and the sets `faces` (people) and `sets`
    (templates)."""
    torch.manual_seed(0)
    shape = iresnet.Params(depth=18, width=1 / 16, embedding=EMBEDDING)
    network = iresnet.build(shape)
    contract = InputContract(embedding=EMBEDDING)
    folder = root / "models/train"
    save_network(folder, network, iresnet.describe(shape), contract)
    save_weights(folder / CENTRES, {"centres": torch.randn(len(PEOPLE), EMBEDDING)}, {"spheres": 1})
    branch, origin = iresnet.build_branch(shape, SIDE), {"trunk": fingerprint(folder)}
    origin |= {"resolution": SIDE, "freeze": "strict"}
    described = iresnet.describe(shape)
    save_network(root / f"models/distill/{SIDE}", branch, described, contract, **origin)
    for stage in ("unpack", "align"):
        _images(root / "data" / stage / "faces", np.repeat(np.arange(len(PEOPLE)), PEOPLE))
        (root / "data" / stage / "faces/tables").mkdir()
        _images(root / "data" / stage / "sets", np.full(5, -1))
    templates = {
        "record": np.array([0, 1, 2, 3, 4, 4]),
        "template": np.array([7, 7, 7, 7, 9, 7]),
        "media": np.array([0, 0, 1, 2, 0, 3]),
        "score": np.ones(6, np.float32),
    }
    write_table(root / "data/unpack/sets/tables/templates.parquet", templates)
    params = {
        "dataset": "faces", "trunk": "train", "seed": 0, "threads": 1, "device": "cpu",
        "instructions": "avx2", "resolutions": [SIDE], "heads": list(heads), "extract": {},
        "features": {}, "head": {"shared": SHARED} | heads,
        "descriptors": {name: {} for name in ("mean", "norm", "kappa", "precision", "coreset")},
    }  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def _images(folder: Path, labels: np.ndarray) -> None:
    with atomic_folder(folder) as scratch, ImageSetWriter(scratch, len(labels), scratch) as writer:
        for number, label in enumerate(labels.tolist()):
            writer.add(png(number, 112, 112), f"record {number}", label)
