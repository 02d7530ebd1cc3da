"""The training loop that trunk, branches and heads share: resumable, reproducible, watchful.

Everything random is drawn from (seed, epoch, row), never from a running generator, so that a run
cut off between two epochs and resumed ends with the bytes of a run that was not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.checkpoints import Checkpoints
from stages.core.recipe import Recipe
from stages.core.seeding import derive

Step = Callable[[np.ndarray, int], Mapping[str, Tensor]]


class DivergedError(RuntimeError):
    """Loss or gradient is no longer finite; the last checkpoint is from before."""


def fit(
    name: str,
    modules: Mapping[str, nn.Module],
    recipe: Recipe,
    rows: int,
    step: Step,
    saved: Checkpoints,
    log: Path,
    seed: int,
) -> None:
    """Train what requires a gradient in `modules`.

    Args:
        name: of what is trained, for progress and messages.
        modules: by name; their states are what a checkpoint holds.
        recipe: epochs, batch, optimiser, learning rate, clipping.
        rows: number of training images; each is used once an epoch.
        step: (rows of a batch, epoch) -> scalars by name; "loss" is minimised.
        saved: where the state is kept after every epoch.
        log: folder for the metrics of every epoch (dvclive).
        seed: of order and dropout.

    Raises:
        DivergedError: a loss or gradient is NaN or infinite.
    """
    from dvclive import Live
    from tqdm import tqdm

    trained = {
        f"{part}.{key}": value
        for part, module in modules.items()
        for key, value in module.named_parameters()
        if value.requires_grad
    }
    optimizer = _optimizer(recipe, list(trained.values()))
    history = _resume(name, modules, optimizer, saved)
    steps_per_epoch = math.ceil(rows / recipe.batch)
    (log / "plots").mkdir(parents=True, exist_ok=True)  # an output also of no epochs
    with Live(str(log), dvcyaml=None, save_dvc_exp=False, report=None) as live:
        for epoch in history:
            _record(live, epoch)
        with tqdm(
            total=recipe.epochs * steps_per_epoch,
            initial=len(history) * steps_per_epoch,
            desc=name,
            unit="step",
            file=sys.stderr,
            disable=None,
        ) as progress:
            for epoch in range(len(history), recipe.epochs):
                torch.manual_seed(derive(seed, name, "dropout", epoch))
                sums: dict[str, float] = {}
                for number, batch in enumerate(_batches(rows, recipe.batch, seed, name, epoch)):
                    iteration = epoch * steps_per_epoch + number
                    for group in optimizer.param_groups:
                        group["lr"] = recipe.learning_rate(iteration, steps_per_epoch)
                    values = step(batch, epoch)
                    _descend(values["loss"], trained, optimizer, recipe.clip, name, iteration)
                    for key, value in values.items():
                        sums[key] = sums.get(key, 0.0) + float(value.detach()) * len(batch)
                    progress.update()
                    progress.set_postfix(epoch=epoch + 1, loss=f"{sums['loss'] / rows:.3f}")
                history.append({key: value / rows for key, value in sums.items()})
                _record(live, history[-1])
                saved.save(
                    {
                        "modules": {part: module.state_dict() for part, module in modules.items()},
                        "optimizer": optimizer.state_dict(),
                        "history": history,
                    }
                )


def _optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


def _resume(
    name: str,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    saved: Checkpoints,
) -> list[dict[str, float]]:
    """Load the last state, if there is one; return the metrics of the epochs done."""
    state = saved.load()
    if state is None:
        return []
    for part, module in modules.items():
        module.load_state_dict(state["modules"][part])
    optimizer.load_state_dict(state["optimizer"])
    print(f"{name}: resumes after epoch {len(state['history'])}", file=sys.stderr, flush=True)
    return state["history"]


def _batches(rows: int, batch: int, seed: int, name: str, epoch: int) -> list[np.ndarray]:
    """A permutation of all rows, cut into batches; BatchNorm needs two rows, so none has one."""
    order = np.random.default_rng(derive(seed, name, "order", epoch)).permutation(rows)
    cuts = list(range(batch, rows, batch))
    if cuts and rows - cuts[-1] == 1:
        cuts[-1] -= 1
    return np.split(order, cuts)


def _descend(
    loss: Tensor,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    clip: float | None,
    name: str,
    iteration: int,
) -> None:
    if not torch.isfinite(loss):
        raise DivergedError(f"{name}: the loss of step {iteration} is {loss.item()}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.get_total_norm(v.grad for v in trained.values() if v.grad is not None)
    if not torch.isfinite(norm):
        culprit = next(
            key
            for key, value in trained.items()
            if value.grad is not None and not torch.isfinite(value.grad).all()
        )
        raise DivergedError(f"{name}: the gradient of {culprit} at step {iteration} is not finite")
    if clip is not None:
        nn.utils.clip_grads_with_norm_(trained.values(), clip, norm)
    optimizer.step()


def _record(live, metrics: dict[str, float]) -> None:
    for key, value in metrics.items():
        live.log_metric(key, round(value, 6))
    live.next_step()
