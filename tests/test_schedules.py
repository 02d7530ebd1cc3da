"""Every recipe of params.yaml in the stage that it is for, on photographs of a few people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from stages.core.params import read_params
from stages.core.weights import read_header
from stages.datasets._store import ImageSetWriter
from stages.distill.__main__ import main as distill
from stages.fetch.photographs import photographs
from stages.head.__main__ import main as learn
from stages.train.__main__ import main as train

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = read_params(ROOT / "params.yaml")
PEOPLE, EACH, SIDE, RESOLUTION = 6, 4, 112, 14
BRANCHES = ["btnet_branch", "btnet_surv"]
HEADS = {"scf": ["scf", "scf_g"], "pfe": ["pfe_g", "pfe_v"], "facecoresetnet": ["coreset"]}
TRUNKS = sorted(PUBLISHED["schedules"].keys() - HEADS.keys() - {"btnet_branch"})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    people = list(photographs().values())[:PEOPLE]
    images = [cv2.resize(image, (SIDE, SIDE)) for own in people for image in own[:EACH]]
    aligned = folder / "data/align/faces"
    aligned.mkdir(parents=True)
    with ImageSetWriter(aligned, len(images), folder) as writer:
        for row, image in enumerate(images):
            writer.add(cv2.imencode(".png", image)[1].tobytes(), f"{row}", row // EACH)
    return folder


def write(schedule: str, **changes: Any) -> dict[str, Any]:
    params = PUBLISHED | {
        "dataset": "faces", "schedule": schedule, "threads": 1, "device": "cpu",
        "instructions": "avx2",
        "backbone": {"name": "iresnet", "depth": 18, "width": 0.125, "embedding": 16},
    } | changes  # fmt: skip
    params["schedules"] = params["schedules"] | {schedule: short(schedule)}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return params


def short(schedule: str) -> dict[str, Any]:
    """The recipe, for two epochs of batches that these people can fill."""
    recipe = dict(PUBLISHED["schedules"][schedule])
    shorter = {"epochs": 2, "batch": 6, "epoch_share": 1.0, "warmup_epochs": 0, "milestones": [1]}
    return recipe | {key: value for key, value in shorter.items() if key in recipe}


def ended(stage: str) -> float:
    metrics = json.loads(Path(f"metrics/{stage}/metrics.json").read_text())
    return metrics["loss"]


@pytest.mark.parametrize("schedule", TRUNKS)
def test_a_trunk_by_its_recipe(project: Path, monkeypatch, schedule: str) -> None:
    monkeypatch.chdir(project)
    write(schedule)
    train()
    assert np.isfinite(ended("train"))


@pytest.mark.parametrize("schedule", BRANCHES)
def test_a_branch_by_its_recipe(project: Path, monkeypatch, schedule: str) -> None:
    monkeypatch.chdir(project)
    write("orl")
    train()
    recipe = short(schedule)
    write("orl", distill={"freeze": "strict"} | recipe)
    distill(str(RESOLUTION))
    assert np.isfinite(ended(f"distill/{RESOLUTION}"))
    learnt = [
        read_header(Path("models") / model / "weights.safetensors")["contract"]["training_data"]
        for model in ("train", f"distill/{RESOLUTION}")
    ]
    assert learnt[0] == learnt[1] != ""


@pytest.mark.parametrize("head", [name for names in HEADS.values() for name in names])
def test_a_head_by_its_recipe(project: Path, monkeypatch, head: str) -> None:
    monkeypatch.chdir(project)
    write("orl")
    train()
    schedule = next(name for name, heads in HEADS.items() if head in heads)
    own = {
        key: value
        for key, value in (PUBLISHED["head"].get(head) or {}).items()
        if key not in PUBLISHED["head"]["shared"] and key not in PUBLISHED["schedules"][schedule]
    }
    write("orl", heads=[head], head={"shared": short(schedule), head: own})
    learn(head)
    assert np.isfinite(ended(f"head/{head}"))


def test_every_recipe_is_tried() -> None:
    assert {*TRUNKS, *BRANCHES, *HEADS} == PUBLISHED["schedules"].keys()
