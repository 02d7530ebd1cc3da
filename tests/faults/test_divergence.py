"""NaN in a training of each kind, injected as `make faults` injects it; and what that is worth."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from faults import divergence
from faults._poison import CONTRACT, GRADIENT, LOSS, contract_of, watched
from faults._report import Section
from stages.check.code import LISTED, ROOT, code_of
from stages.core.checkpoints import Checkpoints
from stages.core.errors import DivergedError
from stages.core.fit import Loop, fit
from stages.core.schedule import Schedule
from tests.head.made import project

HEADS = {
    "scf": {},
    "pfe_g": {"batch": 2, "images": 3},
    "coreset": {"optimizer": "adamw", "views": 2, "largest": 5},
}
ROWS, BATCH = 12, 4
WHOLE_BATCH = Loop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images and a trunk of no skill, with settings for every trainer."""
    root = tmp_path_factory.mktemp("trainers")
    project(root, HEADS)
    (root / "models/train").rename(root / "models/base")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= yaml.safe_load((root / "params.yaml").read_text())
    params |= {"trunk": "base", "loss": "arcface", "schedule": "short"}
    params["backbone"] = {"name": "iresnet", "depth": 18, "width": 1 / 16, "embedding": 16}
    params["schedules"]["short"] = {"epochs": 2, "batch": 4, "lr": 0.01}
    params["distill"] |= {"epochs": 2, "batch": 4, "warmup_epochs": 0}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


def test_every_trainer_stops_tells_and_resumes(folder: Path) -> None:
    """A trainer that cannot run is a finding, and those after it are tried all the same."""
    section = Section(divergence.HEADERS)
    divergence.run(section, folder, 0, "head/nonsense", *divergence.TRAINERS)
    assert section.cases == len(section.rows) == 2 * len(divergence.TRAINERS)
    assert {row[1] for row in section.rows} == {LOSS, GRADIENT}
    where, what = zip(*section.findings, strict=True)
    assert where == ("head nonsense", ", ".join(("head/nonsense", *divergence.TRAINERS)))
    assert "an undisturbed training: status 1" in what[0]
    assert "10 cases were run, not 12" in what[1]


def test_the_trainers_are_the_stages_that_run_the_training_loop() -> None:
    stages = {stage for stage in LISTED if "stages/core/fit.py" in code_of(stage)}
    trains = {stage for stage in stages if (ROOT / f"stages/{stage}").is_dir()}
    assert {trainer.partition("/")[0] for trainer in divergence.TRAINERS} == trains


def train(place: str | None, at: int, loop: Loop = WHOLE_BATCH, by_name: bool = False) -> dict:
    """What is told of a training of six steps, three per epoch."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    inputs = torch.randn(ROWS, 3)
    schedule = Schedule(epochs=2, batch=BATCH, lr=0.1)
    told: dict = {}
    given = {
        "name": "toy",
        "modules": {"toy": network},
        "schedule": schedule,
        "rows": ROWS,
        "step": lambda rows, epoch: {"loss": network(inputs[rows]).square().mean()},
        "saved": Checkpoints(Path("saved")),
        "log": Path("log"),
        "seed": 0,
        "load": lambda rows, epoch: rows,
        "loop": loop,
    }
    function = watched(told, place, at)
    if by_name:
        function(**given)
    else:
        function(*given.values())
    return told


@pytest.fixture
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_scratch")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("place", [LOSS, GRADIENT])
def test_the_step_that_was_drawn_is_the_one(place: str, accumulate: int) -> None:
    with pytest.raises(DivergedError) as caught:
        train(place, 4, Loop(accumulate))
    assert caught.value.step == 4
    wanted = {LOSS: ["loss"], GRADIENT: ["gradient of toy.bias", "gradient of toy.weight"]}[place]
    assert set(caught.value.where) <= set(wanted)


@pytest.mark.usefixtures("_scratch")
@pytest.mark.parametrize("by_name", [True, False])
def test_a_training_that_is_over_before_the_step_says_that_nothing_was_injected(by_name) -> None:
    told = train(LOSS, 6, by_name=by_name)
    assert (told["steps"], told["per_epoch"]) == (6, 3)
    assert told["injected"] is False
    assert told["diverged"] is None


@pytest.mark.usefixtures("_scratch")
def test_watching_changes_nothing() -> None:
    train(None, -1)
    metrics = json.loads(Path("log/metrics.json").read_text())
    torch.manual_seed(0)
    network, inputs = nn.Linear(3, 1), torch.randn(ROWS, 3)
    schedule = Schedule(epochs=2, batch=BATCH, lr=0.1)

    def step(rows, epoch):
        return {"loss": network(inputs[rows]).square().mean()}

    saved = Checkpoints(Path("other"))
    fit("toy", {"toy": network}, schedule, ROWS, step, saved, Path("log2"), 0)
    assert json.loads(Path("log2/metrics.json").read_text()) == metrics


def test_a_changed_contract_ends_the_import() -> None:
    @functools.wraps(fit)
    def changed() -> None: ...

    del changed.__wrapped__
    with pytest.raises(ImportError, match="no longer takes modules, schedule, rows, step, loop"):
        contract_of(changed)
    assert contract_of(fit) == CONTRACT
