"""A number that is none, in a loss or a gradient, at a random step of every trainer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch

from faults._clone import finished
from faults._poison import TOLD
from faults._report import Finding, Section
from stages.check.code import ROOT
from tests.test_pipeline import Clone, environment

SETTINGS = {  # more than one epoch: the checkpoint of one before is what is left
    "distill.epochs": 2,
    "head.shared.epochs": 2,
    "head.pfe_g.epochs": 3,
    "head.coreset.epochs": 3,
    "heads": ["scf", "pfe_g", "coreset"],
}
PLACES = ("loss", "gradient")
SAID = re.compile(r"DivergedError: (\S+): not finite at step (\d+): (.+)")
RESUMED = re.compile(r"resumes after epoch (\d+), step (\d+)")


class Trainer(NamedTuple):
    """A stage that trains, with the item it is given."""

    stage: str
    item: str = ""

    @property
    def command(self) -> list[str]:
        return [f"stages.{self.stage}", *([self.item] if self.item else [])]

    @property
    def outputs(self) -> list[Path]:
        return [Path(root, self.stage, self.item) for root in ("models", "metrics")]


TRAINERS = (
    Trainer("train"),
    Trainer("distill", "14"),
    Trainer("head", "scf"),
    Trainer("head", "pfe_g"),
    Trainer("head", "coreset"),
)


def check(seed: int) -> Section:
    """Each trainer, poisoned in its loss and in a gradient; then resumed without."""
    draw = Random(f"{seed} divergence")
    section = Section(("trainer", "NaN in", "at step", "of", "said", "left after epoch"))
    with tempfile.TemporaryDirectory(prefix="faceline-nan-") as scratch:
        clone = _copy(Path(scratch) / "clone")
        for trainer in TRAINERS:
            name = " ".join(trainer).strip()
            print(f"{name} ..", file=sys.stderr, flush=True)
            done = _run(clone, "faults._poison", "none", "-1", *trainer.command)
            if done.returncode:
                section.findings.append(Finding(name, done.stderr[-500:]))
                continue
            told = _told(done.stderr)
            whole = _content(clone, trainer)
            for place in PLACES:
                step = draw.randrange(told["per_epoch"], told["steps"])
                said, findings = _poisoned(clone, trainer, place, step, whole)
                section.findings += [Finding(f"{name}, {place}", what) for what in findings]
                epoch = step // told["per_epoch"]
                section.rows.append((name, place, step, told["steps"], said, epoch))
    return section


def _copy(folder: Path) -> Clone:
    """The finished pipeline, with settings of its own."""
    shutil.copytree(finished().folder, folder, ignore=shutil.ignore_patterns(".git", "cache"))
    clone = Clone.__new__(Clone)
    clone.folder = folder
    clone.set(SETTINGS)
    return clone


def _poisoned(
    clone: Clone, trainer: Trainer, place: str, step: int, whole: dict[str, bytes]
) -> tuple[str, list[str]]:
    """What the poisoned run said, and what is wrong with it or with the run after it."""
    for path in trainer.outputs:
        shutil.rmtree(clone.folder / path)
    done = _run(clone, "faults._poison", place, str(step), *trainer.command)
    told = _told(done.stderr)
    wanted = "loss" if place == "loss" else f"gradient of {told['aim']}"
    said = SAID.search(done.stderr)
    if not said or done.returncode == 0:
        return "", [f"status {done.returncode}: {done.stderr[-300:]}"]
    wrong = []
    if int(said[2]) != step or wanted not in said[3].split(", "):
        wrong.append(f"said {said[0]}, not step {step}: {wanted}")
    epoch = step // told["per_epoch"]
    wrong += _judge_checkpoint(clone, trainer, epoch)
    done = _run(clone, *trainer.command)
    resumed = RESUMED.search(done.stderr)
    if done.returncode or not resumed or int(resumed[1]) != epoch:
        wrong.append(f"does not resume after epoch {epoch}: {done.stderr[-300:]}")
    elif _content(clone, trainer) != whole:
        wrong.append("ends with other bytes than an undisturbed run")
    return said[3], wrong


def _judge_checkpoint(clone: Clone, trainer: Trainer, epoch: int) -> list[str]:
    folder = clone.folder / ".dvc/tmp/checkpoints" / trainer.stage / trainer.item
    files = list(folder.glob("*/state.pt"))
    if len(files) != 1:
        return [f"{len(files)} checkpoints"]
    state = torch.load(files[0], weights_only=True)
    wrong = [f"NaN in the checkpoint's {key}" for key in _not_finite(state, "state")]
    if len(state["history"]) != epoch:
        wrong.append(f"the checkpoint is of epoch {len(state['history'])}, not {epoch}")
    return wrong


def _not_finite(value: Any, key: str) -> Iterator[str]:
    """Keys under which a checkpoint holds a number that is none."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _not_finite(part, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{key}.{number}")
    elif isinstance(value, torch.Tensor | float) and not torch.as_tensor(value).isfinite().all():
        yield key


def _told(said: str) -> dict[str, Any]:
    line = next(line for line in said.splitlines() if line.startswith(TOLD))
    return json.loads(line.removeprefix(TOLD))


def _content(clone: Clone, trainer: Trainer) -> dict[str, bytes]:
    return {
        str(file.relative_to(clone.folder)): file.read_bytes()
        for path in trainer.outputs
        for file in sorted((clone.folder / path).rglob("*"))
        if file.is_file() and file.name != ".gitignore"
    }


def _run(clone: Clone, module: str, *arguments: str) -> subprocess.CompletedProcess:
    """`python -m`, with this package and the clone's own stages."""
    path = os.pathsep.join([str(clone.folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=clone.folder,
        env=environment() | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
