"""A training on one, two and three ranks is the same training."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.core import ranks
from stages.core.checkpoints import STATE, Checkpoints
from stages.core.fit import Loop, fit
from stages.core.gradients import DivergedError
from stages.core.schedule import Schedule
from stages.losses import curricularface, magface
from stages.losses._classifier import Classifier
from stages.networks._dropout import Dropout
from tests.groups import on_ranks

ROWS, CLASSES, WIDTH = 46, 7, 6  # batches of 12 and 11: unequal shares on two and three ranks
SCHEDULE = Schedule(epochs=5, batch=12, lr=0.05, clip=1.0, decay="cosine", warmup_epochs=1)
LONG = SCHEDULE.model_copy(update={"epochs": 50})
TOGETHER = SCHEDULE.model_copy(update={"clip": 0.5, "clip_centres": True})
STEPS_PER_EPOCH = 4
MARGINS = {
    "curricularface": lambda: curricularface.build(curricularface.Params(scale=8.0)),
    "magface": lambda: magface.build(magface.Params(scale=8.0, l_a=1.0, u_a=5.0)),
}
BOUND = 1e-9


class Task:
    """A small network with every kind of layer, and a classifier, on fixed made-up images."""

    def __init__(self, margin: str, dtype: torch.dtype, dropout: float = 0.3) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.PReLU(WIDTH),
            nn.Flatten(),
            Dropout(dropout),
            nn.Linear(WIDTH * 16, WIDTH),
            nn.BatchNorm1d(WIDTH),
        )
        classifier = Classifier(WIDTH, CLASSES, MARGINS[margin]())
        self.modules = {"network": network.to(dtype), "classifier": classifier.to(dtype)}
        self.images = torch.randn(ROWS, 3, 6, 6, dtype=dtype) + 3
        self.labels = torch.randint(CLASSES, (ROWS,))

    def step(self, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        embedding = self.modules["network"](self.images[rows])
        result = self.modules["classifier"](embedding, self.labels[rows])
        return {"loss": result.total, "norm": embedding.detach().norm(dim=1).mean()}


def train(
    task: Task,
    folder: Path,
    schedule: Schedule = SCHEDULE,
    step: Callable[[np.ndarray, int], dict[str, Tensor]] | None = None,
    every: int | None = None,
) -> dict[str, Any]:
    """Train; what the last checkpoint says, the same on every rank."""
    folder.mkdir(parents=True, exist_ok=True)
    saved, loop = Checkpoints(folder), Loop(checkpoint_steps=every)
    fit("toy", task.modules, schedule, ROWS, step or task.step, saved, folder / "log", 1, loop=loop)
    return saved.load()


def stopped_after(steps: int, task: Task) -> Callable[[np.ndarray, int], dict[str, Tensor]]:
    left = [steps]

    def step(rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return task.step(rows, epoch)

    return step


def first_losses(folder: Path) -> list[float]:
    task, losses = Task("magface", torch.float32), []

    def step(rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        values = task.step(rows, epoch)
        losses.append(values["loss"].item())
        return values

    train(task, folder, SCHEDULE.model_copy(update={"epochs": 2, "warmup_epochs": 0}), step)
    return losses[:5]


def diverge(folder: Path, where: str) -> tuple[str, int]:
    """Message, and epochs in the checkpoint, of a training into which the last rank brings NaN."""
    task, steps = Task("magface", torch.float32), [0]
    tensor = {"loss": None, "bias": task.modules["network"][5].bias, "centres": None}[where]
    if where == "centres":
        tensor = task.modules["classifier"].centres

    def step(rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        values = task.step(rows, epoch)
        steps[0] += 1
        if steps[0] == STEPS_PER_EPOCH + 2 and ranks.rank() == ranks.size() - 1:
            if where == "loss":
                values["loss"] = values["loss"] * float("nan")
            else:
                nothing = (tensor - tensor.detach()).abs().sqrt().sum()  # 0, with slope infinity
                values["loss"] = values["loss"] + 0 * nothing
        return values

    with pytest.raises(DivergedError) as caught:
        train(task, folder, step=step)
    return str(caught.value), len(Checkpoints(folder).load()["history"])


def stop_and_resume(folder: Path) -> dict[str, Any] | None:
    """Two ranks, which come first, stop within the third epoch; other numbers go on from there."""
    task, stopped = Task("curricularface", torch.float64), folder / "stopped"
    if ranks.size() == 2:
        with pytest.raises(KeyboardInterrupt):
            train(task, stopped, step=stopped_after(11, task), every=2)
        return None
    own = folder / f"resumed on {ranks.size()}"
    own.mkdir(exist_ok=True)
    if ranks.rank() == 0:
        shutil.copy(stopped / STATE, own / STATE)
    return train(task, own)


def everything(folder: Path) -> dict[str, Any]:
    own = folder / str(ranks.size())
    return {
        "long": train(Task("curricularface", torch.float64), own / "long", LONG),
        "magface": train(Task("magface", torch.float64), own / "magface"),
        "curricularface": train(Task("curricularface", torch.float64), own / "curricularface"),
        "clipped together": train(Task("magface", torch.float64), own / "together", TOGETHER),
        "resumed": stop_and_resume(folder),
        "losses": first_losses(own / "losses"),
        "diverged": {where: diverge(own / where, where) for where in ("loss", "bias", "centres")},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[int, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ranks")
    return on_ranks(functools.partial(everything, folder), folder, sizes=(2, 1, 3))


def assert_same_state(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """Weights, centres, statistics, margin state, momentum and metrics."""
    for part, tensors in expected["modules"].items():
        for name, tensor in tensors.items():
            assert_close(state["modules"][part][name], tensor, name)
    assert state["optimizer"]["state"].keys() == expected["optimizer"]["state"].keys()
    for place, entry in expected["optimizer"]["state"].items():
        momentum = state["optimizer"]["state"][place]["momentum_buffer"]
        assert_close(momentum, entry["momentum_buffer"], f"momentum {place}")
    for epoch, metrics in zip(state["history"], expected["history"], strict=True):
        assert epoch == pytest.approx(metrics, rel=BOUND)


def assert_close(value: Tensor, expected: Tensor, name: str) -> None:
    difference = (value - expected).double().norm()
    assert difference <= BOUND * expected.double().norm(), name


@pytest.mark.parametrize("run", ["long", "magface", "curricularface", "clipped together"])
@pytest.mark.parametrize("size", [2, 3])
def test_training_ends_as_on_one_process(results, size: int, run: str) -> None:
    """The long one has 200 steps."""
    for result in results[size]:
        assert_same_state(result[run], results[1][0][run])


@pytest.mark.parametrize("size", [1, 3])
def test_stopped_on_two_within_an_epoch_resumed_on_another_number(results, size: int) -> None:
    for result in results[size]:
        assert_same_state(result["resumed"], results[1][0]["curricularface"])


@pytest.mark.parametrize("size", [2, 3])
def test_first_steps_in_float32(results, size: int) -> None:
    for result in results[size]:
        np.testing.assert_allclose(result["losses"], results[1][0]["losses"], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("loss", "loss"),
        ("bias", "gradient of network.5.bias"),
        ("centres", "gradient of classifier.centres"),
    ],
)
def test_nan_of_one_rank_stops_all_within_the_step(results, size, where, named) -> None:
    for result in results[size]:
        assert result["diverged"][where] == (
            f"toy: not finite at step {STEPS_PER_EPOCH + 1}: {named}",
            1,
        )
