"""Trainings with NaN in them: `python -m faults._trainer SEED STAGE[/ITEM] ..`

They run in the current folder. Prints a line of JSON for each trainer. A training is a child of
this process that runs the stage's own command; torch is imported once for all of them.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import dvc.repo  # noqa: F401, dvclive imports it when a training begins
import dvclive  # noqa: F401
import torch
import torch._dynamo  # an optimiser imports it at its first step

from faults._poison import GRADIENT, LOSS, watched
from faults._report import Section
from stages.check.code import code_of
from stages.core import fit as module
from stages.core.checkpoints import STATE
from stages.core.scratch import training_state
from stages.core.seeding import hold_to_avx2

PLACES = (LOSS, GRADIENT)
LONGEST_S = 600  # of a training
RESUMES = re.compile(module.RESUMES.format(name=r"\S+", epoch=r"(\d+)", step=r"\d+"))


class Trainer(NamedTuple):
    """A stage that trains, with the item it is given."""

    stage: str
    item: str = ""

    def __str__(self) -> str:
        return " ".join(self).strip()

    @property
    def outputs(self) -> list[Path]:
        return [Path(root, self.stage, self.item) for root in ("models", "metrics")]

    @property
    def state(self) -> Path:
        return training_state() / self.stage / self.item

    def forget(self) -> None:
        """Remove its outputs and checkpoints, as far as they are there."""
        for path in (*self.outputs, self.state):
            shutil.rmtree(path, ignore_errors=True)

    def content(self) -> dict[str, bytes]:
        return {
            str(file): file.read_bytes()
            for path in self.outputs
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != ".gitignore"
        }


class Ended(NamedTuple):
    """A training that has ended: its status, what it wrote on stderr, what was watched in it."""

    status: int
    said: str
    told: dict[str, Any]

    @property
    def tail(self) -> str:
        return " | ".join(self.said.strip().splitlines()[-3:])[-500:]


def main(seed: str, *names: str) -> None:
    for name in names:
        _import_libraries(name.partition("/")[0])
        section = check(Trainer(*name.split("/")), Random(f"{seed} divergence {name}"))
        print(json.dumps([section.rows, section.findings, section.cases]), flush=True)


def _import_libraries(stage: str) -> None:
    """Import what a stage imports, so that its trainings need not."""
    for file in sorted(code_of(stage)):
        module_name = file.removesuffix(".py").replace("/", ".")
        if not module_name.endswith(("__main__", "__init__")):
            importlib.import_module(module_name)


def check(trainer: Trainer, draw: Random) -> Section:
    """NaN in the loss and in a gradient, each at a step after the first epoch."""
    section = Section(())
    with section.guard(str(trainer)):
        trainer.forget()
        done = run(trainer)
        if done.status or not done.told:
            raise RuntimeError(f"an undisturbed training: status {done.status}: {done.tail}")
        whole = trainer.content()
        for place in PLACES:
            step = draw.randrange(done.told["per_epoch"], done.told["steps"])
            section.cases += 1
            with section.guard(f"{trainer}, {place}, step {step}"):
                row, wrong = _poisoned(trainer, place, step, whole)
                section.rows.append(row)
                if wrong:
                    raise AssertionError("; ".join(wrong))
    return section


def run(trainer: Trainer, place: str | None = None, at: int = -1) -> Ended:
    """The command of `trainer` in a child process, with NaN in `place` at step `at`."""
    with tempfile.TemporaryDirectory() as folder:
        log, told = Path(folder, "log"), Path(folder, "told")
        child = os.fork()
        if not child:
            status = 1
            try:
                status = _train(trainer, place, at, log, told)
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        watched = json.loads(told.read_text()) if told.exists() else {}
        return Ended(status, log.read_text() if log.exists() else "", watched)


def _train(trainer: Trainer, place: str | None, at: int, log: Path, told: Path) -> int:
    """Run the stage as `python -m` does; its exit status."""
    signal.alarm(LONGEST_S)
    with open(log, "w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    watching: dict[str, Any] = {}
    module.fit = watched(watching, place, at)
    sys.argv = [trainer.stage, *filter(None, [trainer.item])]
    status = 0
    try:
        runpy.run_module(f"stages.{trainer.stage}", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        status = 1
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    told.write_text(json.dumps(watching))
    return status


def _poisoned(
    trainer: Trainer, place: str, step: int, whole: dict[str, bytes]
) -> tuple[tuple, list[str]]:
    """Row of the table for a poisoned training, and what is wrong with it or with the next one."""
    trainer.forget()
    done = run(trainer, place, step)
    if not done.told.get("injected"):
        raise AssertionError(f"nothing was injected; status {done.status}: {done.tail}")
    diverged = done.told["diverged"]
    if not diverged:
        raise AssertionError(f"did not stop; status {done.status}: {done.tail}")
    wrong = []
    wanted = "loss" if place == LOSS else f"gradient of {done.told['aim']}"
    if diverged["step"] != step or wanted not in diverged["where"]:
        wrong.append(f"said {diverged['said']}, not step {step}: {wanted}")
    last = done.said.strip().splitlines()[-1]
    if done.status != 1 or "Traceback" in done.said:
        wrong.append(f"status {done.status}, or a traceback: {done.tail}")
    elif diverged["said"] not in last or "Remedy: " not in last:
        wrong.append(f"the last line does not tell fault and remedy: {last}")
    epoch = step // done.told["per_epoch"]
    wrong += _judge_checkpoint(trainer, epoch)
    again = run(trainer)
    resumed = RESUMES.search(again.said)
    if again.status or not resumed or int(resumed[1]) != epoch:
        wrong.append(f"does not resume after epoch {epoch}: status {again.status}: {again.tail}")
    elif trainer.content() != whole:
        wrong.append("ends with other bytes than an undisturbed training")
    row = (str(trainer), place, step, done.told["steps"], ", ".join(diverged["where"]), epoch)
    return row, wrong


def _judge_checkpoint(trainer: Trainer, epoch: int) -> list[str]:
    files = list(trainer.state.glob(f"*/{STATE}"))
    if len(files) != 1:
        return [f"{len(files)} checkpoints"]
    state = torch.load(files[0], weights_only=True)
    wrong = [f"{key} of the checkpoint is not finite" for key in _not_finite(state, "state")]
    if len(state["history"]) != epoch:
        wrong.append(f"the checkpoint is of epoch {len(state['history'])}, not {epoch}")
    return wrong


def _not_finite(value: Any, key: str) -> Iterator[str]:
    """Keys under which a checkpoint holds NaN or infinity."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _not_finite(part, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{key}.{number}")
    elif isinstance(value, torch.Tensor | float) and not torch.as_tensor(value).isfinite().all():
        yield key


if __name__ == "__main__":
    # PyTorch chooses its kernels at the first operation. That is one of this process, which looks
    # into checkpoints, and the trainings that it forks afterwards inherit the choice.
    hold_to_avx2()
    torch.set_num_threads(1)  # a thread pool does not survive the fork
    main(*sys.argv[1:])
