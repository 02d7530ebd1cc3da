"""Every published schedule in the stage that it is for, on photographs of a few people."""

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
from tests.published_schedules import BRANCHES, TRUNKS, published_schedules

ROOT = Path(__file__).resolve().parents[1]
PARAMS = read_params(ROOT / "params.yaml")
SCHEDULES = PARAMS["schedules"] | published_schedules()
PEOPLE, EACH, SIDE, RESOLUTION = 6, 4, 112, 14
HEADS = {"scf": ["scf", "scf_g"], "pfe": ["pfe_g", "pfe_v"], "facecoresetnet": ["coreset"]}


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
    params = PARAMS | {
        "dataset": "faces", "schedule": schedule, "threads": 1, "device": "cpu",
        "instructions": "avx2",
        "backbone": {"name": "iresnet", "depth": 18, "width": 0.125, "embedding": 16},
    } | changes  # fmt: skip
    params["schedules"] = params["schedules"] | {schedule: short(schedule)}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return params


def short(schedule: str) -> dict[str, Any]:
    """The schedule, for two epochs of batches that these people can fill."""
    full = dict(SCHEDULES[schedule])
    shorter = {"epochs": 2, "batch": 6, "epoch_share": 1.0, "warmup_epochs": 0, "milestones": [1]}
    return full | {key: value for key, value in shorter.items() if key in full}


def ended(stage: str) -> float:
    metrics = json.loads(Path(f"metrics/{stage}/metrics.json").read_text())
    for part in stage.split("/"):
        metrics = metrics[part]
    return metrics["loss"]


@pytest.mark.parametrize("schedule", ["orl", *TRUNKS])
def test_a_trunk_by_its_schedule(project: Path, monkeypatch, schedule: str) -> None:
    monkeypatch.chdir(project)
    write(schedule)
    train()
    assert np.isfinite(ended("train"))


@pytest.mark.parametrize("schedule", BRANCHES)
def test_a_branch_by_its_schedule(project: Path, monkeypatch, schedule: str) -> None:
    monkeypatch.chdir(project)
    write("orl")
    train()
    write("orl", distill={"freeze": "strict"} | short(schedule))
    distill(str(RESOLUTION))
    assert np.isfinite(ended(f"distill/{RESOLUTION}"))
    learnt = [
        read_header(Path("models") / model / "weights.safetensors")["contract"]["training_data"]
        for model in ("train", f"distill/{RESOLUTION}")
    ]
    assert learnt[0] == learnt[1] != ""


@pytest.mark.parametrize("head", [name for names in HEADS.values() for name in names])
def test_a_head_by_its_schedule(project: Path, monkeypatch, head: str) -> None:
    monkeypatch.chdir(project)
    write("orl")
    train()
    schedule = next(name for name, heads in HEADS.items() if head in heads)
    own = {
        key: value
        for key, value in (PARAMS["head"].get(head) or {}).items()
        if key not in PARAMS["head"]["shared"] and key not in SCHEDULES[schedule]
    }
    write("orl", heads=[head], head={"shared": short(schedule), head: own})
    learn(head)
    assert np.isfinite(ended(f"head/{head}"))


def test_every_schedule_is_tried() -> None:
    assert {"orl", *TRUNKS, *BRANCHES, *HEADS} == SCHEDULES.keys()
