"""The loop on a toy: what it must promise every trainer."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from stages.core.checkpoints import Checkpoints, _digest, _try_lock, checkpoints
from stages.core.errors import InputError
from stages.core.fit import Loop, _batches, fit
from stages.core.gradients import DivergedError
from stages.core.parent import PARENT_POLL_S, die_with_parent
from stages.core.schedule import Schedule

ROWS = 23
SCHEDULE = Schedule(epochs=4, batch=5, lr=0.1, clip=1.0)


def toy() -> tuple[nn.Module, callable]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    inputs = torch.randn(ROWS, 3)

    def step(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        return {"loss": (network(inputs[rows]) - inputs[rows].sum(1, keepdim=True)).square().mean()}

    return network, step


def run(
    folder: Path,
    schedule: Schedule = SCHEDULE,
    stop_after: int | None = None,
    every: int | None = None,
) -> nn.Module:
    network, step = toy()
    steps_left = [float("inf") if stop_after is None else stop_after]

    def counted(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        if steps_left[0] <= 0:
            raise KeyboardInterrupt
        steps_left[0] -= 1
        return step(rows, epoch)

    folder.mkdir(exist_ok=True)
    saved, loop = Checkpoints(folder), Loop(checkpoint_steps=every)
    fit("toy", {"toy": network}, schedule, ROWS, counted, saved, folder / "log", 1, loop=loop)
    return network


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("stop_after", [1, 5, 12, 19])
def test_resumed_ends_with_the_bytes_of_an_undisturbed_run(tmp_path, stop_after, every) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after=stop_after, every=every)
    if every:  # five steps an epoch; a checkpoint after the second, the fourth and the last
        done = Checkpoints(tmp_path / "cut").load() if stop_after > 1 else {"step": 0}
        assert done["step"] == (stop_after % 5) // 2 * 2
    resumed = run(tmp_path / "cut")
    assert torch.equal(weights(resumed), weights(whole))
    logs = [sorted((tmp_path / name / "log").rglob("*.tsv")) for name in ("whole", "cut")]
    for one, other in zip(*logs, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("name", "path"), [("train", ["train"]), ("head/scf", ["head", "scf"])])
def test_metrics_are_nested_under_the_name_of_what_is_trained(tmp_path, name, path) -> None:
    network, step = toy()
    fit(name, {"toy": network}, SCHEDULE, ROWS, step, Checkpoints(tmp_path), tmp_path / "log", 1)
    metrics = json.loads((tmp_path / "log/metrics.json").read_text())
    for part in path:
        assert list(metrics) == [part]
        metrics = metrics[part]
    last = (tmp_path / "log/plots/metrics/loss.tsv").read_text().split()[-1]
    assert metrics == {"loss": float(last), "step": SCHEDULE.epochs - 1}


def test_every_row_once_an_epoch_in_batches_of_almost_equal_length() -> None:
    for rows, batch in [(23, 5), (21, 5), (5, 5), (6, 5), (2, 5)]:
        batches = _batches(rows, batch, seed=0, name="toy", epoch=3)
        assert sorted(np.concatenate(batches)) == list(range(rows))
        assert len(batches) == SCHEDULE.model_copy(update={"batch": batch}).steps_per_epoch(rows)
        assert min(map(len, batches)) >= max(map(len, batches)) - 1 > 0
        assert max(map(len, batches)) <= batch


def test_batches_load_ahead_in_the_order_of_the_steps(tmp_path) -> None:
    network, step = toy()
    loaded, used = [], []

    def load(rows: np.ndarray, epoch: int) -> np.ndarray:
        loaded.append((epoch, *rows))
        return rows

    def checked(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        used.append((epoch, *rows))
        return step(rows, epoch)

    saved = Checkpoints(tmp_path)
    fit("toy", {"toy": network}, SCHEDULE, ROWS, checked, saved, tmp_path / "log", 1, load)
    assert used == loaded
    assert torch.equal(weights(network), weights(run(tmp_path / "plain")))


def test_what_fails_while_loading_ends_the_training(tmp_path) -> None:
    network, step = toy()

    def load(rows: np.ndarray, epoch: int) -> np.ndarray:
        raise InputError("photograph.jpg", "is no JPEG", "fetch it again")

    with pytest.raises(InputError, match="photograph.jpg"):
        saved = Checkpoints(tmp_path)
        fit("toy", {"toy": network}, SCHEDULE, ROWS, step, saved, tmp_path / "log", 1, load)


def test_a_batch_that_does_not_reach_all_parts_is_refused(tmp_path) -> None:
    network, step = toy()
    saved = Checkpoints(tmp_path)
    for parts, said in ((5, "some of the 1 processes without"), (4, "BatchNorm a single image")):
        loop, modules = Loop(accumulate=parts), {"toy": network.train(parts == 4)}
        with pytest.raises(InputError, match=f"batches of 5 from 23 images, in {parts} .*{said}"):
            fit("toy", modules, SCHEDULE, ROWS, step, saved, tmp_path / "log", 1, loop=loop)


def test_a_batch_of_one_image_is_refused_where_batchnorm_learns(tmp_path) -> None:
    """23 rows by two leave one alone; nothing is refused where nothing is trained."""
    network, step = toy()
    saved, schedule = Checkpoints(tmp_path), SCHEDULE.model_copy(update={"batch": 2})
    with pytest.raises(InputError, match="batches of 2 from 23 images leave BatchNorm a single"):
        fit("toy", {"toy": network}, schedule, ROWS, step, saved, tmp_path / "log", 1)
    idle = schedule.model_copy(update={"epochs": 0})
    fit("toy", {"toy": network}, idle, ROWS, step, saved, tmp_path / "log", 1)


def test_the_lock_is_that_of_the_folder_there_is(tmp_path, monkeypatch) -> None:
    """One that waited while the folder was removed does not go in beside one that came later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.core.checkpoints.WAIT_FOR_LOCK_S", 0)
    path = tmp_path / "folder" / "lock"
    first = _try_lock(path)
    assert _try_lock(path) is None
    waiting = open(path, "w")  # noqa: SIM115
    (tmp_path / "folder").rename(tmp_path / "gone")
    second = _try_lock(path)
    first.close()
    monkeypatch.setattr("builtins.open", lambda *args: waiting)
    assert _try_lock(path) is None  # though nobody holds the file that it had opened
    assert waiting.closed
    second.close()


def test_nan_stops_within_the_step_and_keeps_the_last_checkpoint(tmp_path) -> None:
    network, step = toy()

    def poisoned(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        loss = step(rows, epoch)["loss"]
        return {"loss": loss * float("nan") if epoch == 2 else loss}

    saved = Checkpoints(tmp_path)
    with pytest.raises(DivergedError, match="toy: not finite at step 10: loss"):
        fit("toy", {"toy": network}, SCHEDULE, ROWS, poisoned, saved, tmp_path / "log", seed=1)
    assert len(saved.load()["history"]) == 2


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_parts_are_one_batch(tmp_path, parts: int) -> None:
    """Parts of unequal size: 12 and 11 rows a batch, so 6 + 6, 6 + 5, 4 + 4 + 4, 4 + 4 + 3."""
    schedule = SCHEDULE.model_copy(update={"batch": 12, "momentum": 0.9})

    def trained(folder: Path, loop: Loop) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 8), nn.PReLU(8), nn.Linear(8, 1)).double()
        inputs = torch.randn(ROWS, 3, dtype=torch.float64)

        def step(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
            return {"loss": (network(inputs[rows]) - inputs[rows].prod(1, True)).square().mean()}

        folder.mkdir()
        saved = Checkpoints(folder)
        fit("toy", {"toy": network}, schedule, ROWS, step, saved, folder / "log", 1, loop=loop)
        return network

    torch.testing.assert_close(
        weights(trained(tmp_path / "parts", Loop(accumulate=parts))),
        weights(trained(tmp_path / "whole", Loop())),
        rtol=1e-12,
        atol=1e-12,
    )


def test_infinite_gradient_names_the_tensor(tmp_path) -> None:
    network, _ = toy()

    def step(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        return {"loss": (network[0].bias - network[0].bias.detach()).abs().sqrt().sum()}

    with pytest.raises(DivergedError, match="toy: not finite at step 0: gradient of toy.0.bias"):
        saved = Checkpoints(tmp_path)
        fit("toy", {"toy": network}, SCHEDULE, ROWS, step, saved, tmp_path / "log", seed=1)


def test_no_epochs_leaves_the_weights_alone(tmp_path) -> None:
    before = weights(toy()[0])
    after = run(tmp_path, SCHEDULE.model_copy(update={"epochs": 0}))
    assert torch.equal(weights(after), before)
    assert (tmp_path / "log/plots").is_dir()
    assert (tmp_path / "log/metrics.json").is_file()


def test_folder_is_gone_after_success_and_kept_after_failure(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with checkpoints("toy", {"lr": 1}, []) as saved:
        saved.save({"history": []})
        folder = saved.folder
    assert not folder.exists()
    with pytest.raises(RuntimeError), checkpoints("toy", {"lr": 1}, []) as saved:
        saved.save({"history": [1]})
        raise RuntimeError
    with checkpoints("toy", {"lr": 2}, []) as other:
        assert other.load() is None
    with checkpoints("toy", {"lr": 1}, []) as same:
        assert same.load() == {"history": [1]}


def _hold(root: str, started) -> None:
    os.environ["DVC_ROOT"] = root
    die_with_parent(of_dvc=True)
    with checkpoints("toy", {}, []):
        started.set()
        time.sleep(60)


def _start_and_wait(root: str, started, pid) -> None:
    child = multiprocessing.Process(target=_hold, args=(root, started))
    child.start()
    pid.value = child.pid
    child.join()


def test_a_trainer_dies_with_the_process_that_started_it(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    started, pid = context.Event(), context.Value("i", 0)
    parent = context.Process(target=_start_and_wait, args=(str(tmp_path), started, pid))
    parent.start()
    assert started.wait(20)
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    deadline = time.monotonic() + 20
    while _running(pid.value) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(pid.value)


def _start_by_hand(started, pid) -> None:
    child = multiprocessing.Process(target=_wait_by_hand, args=(started, pid))
    child.start()
    child.join()


def _wait_by_hand(started, pid) -> None:
    die_with_parent(of_dvc=False)
    pid.value = os.getpid()
    started.set()
    time.sleep(60)


def test_what_is_started_by_hand_outlives_its_terminal() -> None:
    context = multiprocessing.get_context("fork")
    started, pid = context.Event(), context.Value("i", 0)
    parent = context.Process(target=_start_by_hand, args=(started, pid))
    parent.start()
    assert started.wait(20)
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    time.sleep(5 * PARENT_POLL_S)
    assert _running(pid.value)
    os.kill(pid.value, signal.SIGKILL)


def test_the_file_that_was_started_names_the_folder_too(tmp_path, monkeypatch) -> None:
    """Under `python -m stages.train` that is no module called stages.train.__main__."""
    started = tmp_path / "__main__.py"
    monkeypatch.setattr("stages.core.checkpoints.STAGES", tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(started)))
    digests = []
    for text in ("loss", "3 * loss", "loss  # a comment costs no training"):
        started.write_text(text)
        digests.append(_digest({}, []))
    assert digests[0] == digests[2] != digests[1]


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
