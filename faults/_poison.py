"""A training with one NaN in it, injected through the arguments of `stages.core.fit.fit`.

That function and what it is called with are the public contract of every trainer. What is used of
it here is looked up when this module is imported, so that a change of it ends the import.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import torch

from stages.core.errors import DivergedError
from stages.core.fit import Loop, fit
from stages.core.optim import trained_parameters
from stages.core.schedule import Schedule

USED = ("modules", "schedule", "rows", "step", "loop")  # arguments of fit
LOSS, GRADIENT = "loss", "gradient"


def contract_of(function: Callable) -> inspect.Signature:
    """Signature of a training loop. Raise ImportError if it lacks one of the arguments USED."""
    signature = inspect.signature(function)
    missing = [name for name in USED if name not in signature.parameters]
    if missing:
        raise ImportError(f"{function.__qualname__} no longer takes {', '.join(missing)}")
    return signature


CONTRACT = contract_of(fit)
ACCUMULATE = Loop.__dataclass_fields__["accumulate"].name  # calls of `step` per step
STEPS_PER_EPOCH = Schedule.steps_per_epoch


class Spoil(torch.autograd.Function):
    """0, whose gradient is NaN."""

    @staticmethod
    def forward(ctx, parameter):
        ctx.save_for_backward(parameter)
        return parameter.new_zeros(())

    @staticmethod
    def backward(ctx, gradient):
        (parameter,) = ctx.saved_tensors
        return torch.full_like(parameter, torch.nan)


def watched(told: dict[str, Any], place: str | None = None, at: int = -1) -> Callable[..., None]:
    """`fit`, which also notes in `told` what it does, with NaN in `place` at step `at`.

    Args:
        told: `steps` and `per_epoch` of the training, `aim` (the parameter whose gradient is
            meant, drawn by `at`), `injected`, and `diverged`: message, step and places of the
            DivergedError.
        place: LOSS or GRADIENT; None injects nothing.
        at: counted from the start of this process.
    """

    def watching(*args: Any, **kwargs: Any) -> None:
        bound = CONTRACT.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        trained = trained_parameters(given["modules"])
        per_epoch = STEPS_PER_EPOCH(given["schedule"], given["rows"])
        aim = Random(at).choice(sorted(trained))
        told.update(per_epoch=per_epoch, steps=given["schedule"].epochs * per_epoch, aim=aim)
        told.update(injected=False, diverged=None)
        if place:
            call = at * getattr(given["loop"], ACCUMULATE)
            given["step"] = _spoiled(given["step"], call, place, trained[aim], told)
        try:
            fit(*bound.args, **bound.kwargs)
        except DivergedError as fault:
            told["diverged"] = {"said": str(fault), "step": fault.step, "where": fault.where}
            raise

    return watching


def _spoiled(
    step: Callable, at: int, place: str, aim: torch.Tensor, told: dict[str, Any]
) -> Callable[[Any, int], Mapping[str, torch.Tensor]]:
    """`step`, whose call number `at` returns a loss that is NaN, or has a NaN gradient."""
    calls = 0

    def spoiled(loaded: Any, epoch: int) -> Mapping[str, torch.Tensor]:
        nonlocal calls
        values = dict(step(loaded, epoch))
        if calls == at:
            loss = values["loss"]
            values["loss"] = loss * torch.nan if place == LOSS else loss + Spoil.apply(aim)
            told["injected"] = True
        calls += 1
        return values

    return spoiled
