"""A made-up training set for the tests of the stage."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from stages.datasets._store import ImageSetWriter

ROOT = Path(__file__).parents[2]
CLASSES, EACH, SIDE = 4, 3, 112
RECIPE = {"epochs": 2, "batch": 6, "lr": 0.05, "clip": 5.0, "augment": {"low_resolution": 0.5}}


@pytest.fixture
def params(tmp_path, monkeypatch) -> dict[str, Any]:
    """Those of the project, for a network of a few channels on twelve images."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/align/faces"
    folder.mkdir(parents=True)
    patterns = np.random.default_rng(0).integers(0, 256, (CLASSES * EACH, 4, 4, 3), np.uint8)
    with ImageSetWriter(folder, len(patterns), folder) as writer:
        for row, pattern in enumerate(patterns):
            image = cv2.resize(pattern, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            payload = cv2.imencode(".png", image)[1].tobytes()
            writer.add(payload, f"image {row}", label=row // EACH)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {
        "dataset": "faces",
        "schedule": "short",
        "threads": 1,
        "device": "cpu",
        "instructions": "avx2",
    }
    params["backbone"] = {"name": "iresnet", "depth": 18, "width": 0.125, "embedding": 16}
    params["schedules"]["short"] = copy.deepcopy(RECIPE)
    params["train"] |= {"precision": "fp32", "initial": None}
    return params
