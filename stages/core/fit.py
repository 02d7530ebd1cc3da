"""The training loop that trunk, branches and heads share: resumable, reproducible, watchful.

Everything random is drawn from (seed, epoch, step or row), never from a running generator, so that
a run cut off anywhere and resumed, on as many processes as one likes, ends where an undisturbed one
does: with its very bytes on one process, up to rounding on another number of them.
"""

from __future__ import annotations

import json
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.checkpoints import Checkpoints
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.gradients import Descent, LossScale
from stages.core.optim import build_optimizer, set_learning_rate
from stages.core.params import PARAMS_FILE
from stages.core.ranks import rank, share, size, sum_over_ranks
from stages.core.schedule import Schedule
from stages.core.seeding import derive
from stages.core.state import (
    load_whole_optimizer_state,
    load_whole_state,
    start_alike,
    whole_optimizer_state,
    whole_state,
)
from stages.core.sync_batchnorm import synchronise

Loaded = TypeVar("Loaded")
Step = Callable[[Any, int], Mapping[str, Tensor]]
AHEAD = 2  # batches that are loaded while a step computes
RESUMES = "{name}: resumes after epoch {epoch}, step {step}"  # said by a run that was cut off


@dataclass(frozen=True)
class Loop:
    """How the steps of a schedule are computed.

    Attributes:
        accumulate: parts that a batch is cut into, one after the other: memory for one. Their
            gradients add up to that of the mean over the whole batch. BatchNorm sees a part, and
            so does what a margin keeps (CurricularFace's t, AdaFace's mean and deviation) and the
            draw of negative centres, once for each part.
        scale_loss: for float16, whose small gradients are zero otherwise.
        checkpoint_steps: steps between two checkpoints within an epoch; None: at its end alone.
        images: that a row stands for: more than one where rows are people.
    """

    accumulate: int = 1
    scale_loss: bool = False
    checkpoint_steps: int | None = None
    images: int = 1


def fit(
    name: str,
    modules: Mapping[str, nn.Module],
    schedule: Schedule,
    rows: int,
    step: Step,
    saved: Checkpoints,
    log: Path,
    seed: int,
    load: Callable[[np.ndarray, int], Any] = lambda rows, epoch: rows,
    loop: Loop = Loop(),
) -> None:
    """Train what requires a gradient in `modules`, on all ranks together.

    A batch is the global one: each rank has its `share` of its rows, and BatchNorms that train are
    synchronised. The loss that `step` returns is the mean over the rows of all ranks.

    Args:
        name: of what is trained, such as distill/28, for progress, messages and metrics.
        modules: by name; their states are what a checkpoint holds.
        schedule: epochs, batch, optimiser, learning rate, clipping.
        rows: number of training images; each is used once an epoch.
        step: (what `load` gave, epoch) -> scalars by name; "loss" is minimised.
        saved: where the state is kept.
        log: folder for the metrics of every epoch (dvclive).
        seed: of order and dropout.
        load: (rows of this rank, epoch) -> batch; runs in a thread ahead of the steps, so it draws
            from no global generator. By default the rows themselves.
        loop: accumulation, scaling, checkpoints.

    Raises:
        DivergedError: a loss or gradient is NaN or infinite.
        InputError: there are more ranks than rows in a batch.
    """
    _require_rows_for_all(name, modules, schedule, rows, loop)
    for module in modules.values():
        synchronise(module)
    optimizer = build_optimizer(schedule, modules)
    scale = LossScale() if loop.scale_loss else None
    descent = Descent(name, modules, optimizer, schedule.clip, scale, schedule.clip_centres)
    state = _State(modules, optimizer, scale)
    if state.resume(saved):
        said = RESUMES.format(name=name, epoch=len(state.history), step=state.step)
        print(said, file=sys.stderr, flush=True)
    steps = schedule.steps_per_epoch(rows)
    with _Journal(name, log, schedule.epochs * steps) as journal:
        journal.replay(state, steps)
        for epoch in range(len(state.history), schedule.epochs):
            batches = _batches(rows, schedule.batch, seed, name, epoch)[:steps]
            parts = [np.array_split(batch, loop.accumulate) for batch in batches]
            todo = [part[share(len(part))] for cut in parts[state.step :] for part in cut]
            loaded = ahead(load, todo, epoch)
            while state.step < steps:
                torch.manual_seed(derive(seed, name, "dropout", epoch, state.step))
                iteration = epoch * steps + state.step
                set_learning_rate(optimizer, schedule.learning_rate(iteration, steps))
                totals = _gradient(descent, step, loaded, parts[state.step], epoch)
                descent.move(totals, iteration)
                state.count(totals)
                journal.step(state, sum(map(len, batches[: state.step])))
                every = loop.checkpoint_steps
                if every and state.step % every == 0 and state.step < steps:
                    saved.save(state.whole())
            state.end_epoch(sum(map(len, batches)))
            journal.epoch(state.history[-1])
            saved.save(state.whole())


def _gradient(
    descent: Descent, step: Step, loaded: Iterator[Any], parts: list[np.ndarray], epoch: int
) -> dict[str, Tensor]:
    """Gradient of a batch's mean loss, part by part; sums of the scalars over this rank's rows."""
    descent.begin()
    totals: dict[str, Tensor] = {}
    rows = sum(map(len, parts))
    for number, part in enumerate(parts, start=1):
        values = step(next(loaded), epoch)
        descent.backward(values["loss"] * (len(part) / rows), last=number == len(parts))
        own = len(part[share(len(part))])
        for key, value in values.items():
            totals[key] = totals.get(key, 0) + value.detach().double() * own
    return totals


class _State:
    """What a checkpoint holds: everything that moves in a training.

    Attributes:
        history: metrics of the epochs done.
        step: steps done of the epoch after them.
        sums: of the metrics of those steps over this rank's rows.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        scale: LossScale | None,
    ) -> None:
        self.modules, self.optimizer, self.scale = modules, optimizer, scale
        self.history: list[dict[str, float]] = []
        self.step = 0
        self.sums: dict[str, float] = {}

    def count(self, totals: dict[str, Tensor]) -> None:
        """One step is done, with these sums of its scalars."""
        self.step += 1
        for key, value in totals.items():
            self.sums[key] = self.sums.get(key, 0.0) + value.item()

    def end_epoch(self, rows: int) -> None:
        """Turn the sums over `rows` of all ranks into the metrics of an epoch."""
        self.history.append({key: value / rows for key, value in self._sums().items()})
        self.step, self.sums = 0, {}

    def whole(self) -> dict[str, Any]:
        """The state, the same whatever the number of ranks; every rank must call it."""
        return {
            "modules": {part: whole_state(module) for part, module in self.modules.items()},
            "optimizer": whole_optimizer_state(self.optimizer),
            "scale": self.scale.state() if self.scale else {},
            "history": self.history,
            "step": self.step,
            "sums": self._sums(),
        }

    def resume(self, saved: Checkpoints) -> bool:
        """Go on from the last state, if there is one; else all ranks start as the first does."""
        state = saved.load()
        if state is None:
            for module in self.modules.values():
                start_alike(module)
            return False
        for part, module in self.modules.items():
            load_whole_state(module, state["modules"][part])
        load_whole_optimizer_state(self.optimizer, state["optimizer"])
        if self.scale:
            self.scale.load(state["scale"])
        self.history, self.step = state["history"], state["step"]
        self.sums = state["sums"] if rank() == 0 else {}
        return True

    def _sums(self) -> dict[str, float]:
        device = next(value.device for m in self.modules.values() for value in m.parameters())
        own = torch.tensor(list(self.sums.values()), dtype=torch.float64, device=device)
        return dict(zip(self.sums, sum_over_ranks(own).tolist(), strict=True))


class _Journal:
    """Metrics of the epochs (dvclive) and a line of progress, from the first rank alone."""

    def __init__(self, name: str, log: Path, steps: int) -> None:
        self.name, self.log, self.steps = name, log, steps
        self.stack = ExitStack()

    def __enter__(self) -> _Journal:
        if rank() == 0:
            from dvclive import Live
            from scmrepo.exceptions import SCMError
            from tqdm import tqdm

            (self.log / "plots").mkdir(parents=True, exist_ok=True)  # an output also of no epochs
            try:
                live = Live(str(self.log), dvcyaml=None, save_dvc_exp=False, report=None)
            except SCMError as fault:
                remedy = "commit once: git add --all && git commit"
                raise InputError(".git", f"cannot be read ({fault})", remedy) from None
            self.live = self.stack.enter_context(live)
            bar = tqdm(total=self.steps, desc=self.name, unit="step", file=sys.stderr, disable=None)
            self.bar = self.stack.enter_context(bar)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()
        if rank() == 0 and exception == (None, None, None):
            self._name_metrics()

    def _name_metrics(self) -> None:
        """Nest the last metrics under the name, as {"distill": {"28": {"loss": ..}}}.

        Every key is then of one file alone, and DVC need not tell `loss` from the parameter.
        """
        file = self.log / "metrics.json"
        named = json.loads(file.read_text())
        for part in reversed(self.name.split("/")):
            named = {part: named}
        with atomic_file(file) as scratch:
            scratch.write_text(json.dumps(named, indent=2) + "\n")

    def replay(self, state: _State, steps: int) -> None:
        """What was recorded before a resumed run: DVC removes a stage's outputs before it."""
        for metrics in state.history:
            self.epoch(metrics)
        if rank() == 0:
            self.bar.update(len(state.history) * steps + state.step)

    def step(self, state: _State, rows: int) -> None:
        """Show the epoch's mean loss over its first `rows` rows, as far as this rank knows it."""
        if rank() == 0:
            self.bar.update()
            loss = state.sums["loss"] / rows * size()
            self.bar.set_postfix(epoch=len(state.history) + 1, loss=f"{loss:.3f}")

    def epoch(self, metrics: dict[str, float]) -> None:
        """Record the metrics of an epoch."""
        if rank() == 0:
            for key, value in metrics.items():
                self.live.log_metric(key, round(value, 6))
            self.live.next_step()


def _batches(rows: int, batch: int, seed: int, name: str, epoch: int) -> list[np.ndarray]:
    """A permutation of all rows, cut into batches of equal length, give or take one row.

    No batch is much smaller than the others: BatchNorm needs two rows, and ranks one each.
    """
    order = np.random.default_rng(derive(seed, name, "order", epoch)).permutation(rows)
    return np.array_split(order, math.ceil(rows / batch))


def _require_rows_for_all(
    name: str, modules: Mapping[str, nn.Module], schedule: Schedule, rows: int, loop: Loop
) -> None:
    if schedule.epochs == 0:  # nothing is trained
        return
    parts = loop.accumulate
    smallest = rows // math.ceil(rows / schedule.batch) // parts
    inside = [part for module in modules.values() for part in module.modules()]
    learns = any(isinstance(part, _BatchNorm) and part.training for part in inside)
    divided = f", in {parts} parts," if parts > 1 else ""
    cut = f"batches of {schedule.batch} from {rows} images{divided} leave"
    remedy = "accumulate less or take larger batches"
    if smallest * loop.images < 2 and learns:
        raise InputError(PARAMS_FILE, f"{cut} BatchNorm a single image", remedy, name)
    if smallest < size():
        problem = f"{cut} some of the {size()} processes without an image"
        raise InputError(PARAMS_FILE, problem, f"start fewer processes, {remedy}", name)


def ahead(
    load: Callable[[np.ndarray, int], Loaded], parts: list[np.ndarray], epoch: int
) -> Iterator[Loaded]:
    """What `load` gives for each of `parts`, AHEAD of them loaded before they are asked for."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Loaded]] = deque()
        for rows in parts:
            waiting.append(pool.submit(load, rows, epoch))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
