"""A trainer with one number that is none: `python -m faults._poison PLACE STEP STAGE [ITEM]`.

PLACE is loss, or gradient: that of one parameter, drawn by the step. A STEP of -1 poisons nothing.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import torch

from stages.core import fit as module

TOLD = "poison: "  # begin of the line of JSON that says what was done


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


def main(place: str, at: int, stage: str, *arguments: str) -> None:
    fit = module.fit

    def poisoned(name, modules, recipe, rows, step, *more) -> None:
        trained = {
            f"{part}.{key}": value
            for part, of in modules.items()
            for key, value in of.named_parameters()
            if value.requires_grad
        }
        aim = Random(at).choice(sorted(trained))
        steps = recipe.steps_per_epoch(rows)
        told = {"steps": recipe.epochs * steps, "per_epoch": steps, "aim": aim}
        print(f"{TOLD}{json.dumps(told)}", file=sys.stderr, flush=True)
        spoil = (lambda loss: loss * torch.nan) if place == "loss" else None
        spoil = spoil or (lambda loss: loss + Spoil.apply(trained[aim]))
        fit(name, modules, recipe, rows, _at_step(step, at, spoil), *more)

    module.fit = poisoned
    sys.argv = [stage, *arguments]
    runpy.run_module(stage, run_name="__main__", alter_sys=True)


def _at_step(step: Callable, at: int, spoil: Callable) -> Callable:
    done = 0

    def spoiled(loaded: Any, epoch: int) -> dict[str, torch.Tensor]:
        nonlocal done
        values = dict(step(loaded, epoch))
        if done == at:
            values["loss"] = spoil(values["loss"])
        done += 1
        return values

    return spoiled


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
