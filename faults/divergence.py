"""NaN in a loss or a gradient, at a random step of every trainer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from faults import _clone
from faults._report import Finding, Section
from faults._task import Task
from stages.check.code import ROOT
from tests.test_pipeline import environment

SETTINGS = {  # more than one epoch: the checkpoint of the epoch before is what is left
    "distill.epochs": 2,
    "head.shared.epochs": 2,
    "head.pfe_g.epochs": 3,
    "head.coreset.epochs": 3,
    "heads": ["scf", "pfe_g", "coreset"],
}
HEADERS = ("trainer", "NaN in", "at step", "of", "said", "left after epoch")
TRAINERS = ("train", "distill/14", "head/scf", "head/pfe_g", "head/coreset")
CASES = 2  # per trainer: loss and gradient
LONGEST_S = 3600  # of a trainer


def check(task: Task) -> Section:
    """Each trainer, poisoned in its loss and in a gradient; then resumed without."""
    section = Section(HEADERS)
    with tempfile.TemporaryDirectory(prefix="faceline-nan-") as scratch:
        folder = Path(scratch, "clone")
        shutil.copytree(task.finished, folder, ignore=shutil.ignore_patterns(".git", "cache"))
        _clone.at(folder).set(SETTINGS)
        for trainer in TRAINERS:
            print(f"{trainer} ..", file=sys.stderr, flush=True)
            run(section, folder, task.seed, trainer)
    return section


def run(section: Section, folder: Path, seed: int, *trainers: str) -> None:
    """Add the cases of `trainers` to the section; the pipeline's inputs of them are in `folder`."""
    where = ", ".join(trainers)
    with section.guard(where):
        done = subprocess.run(
            [sys.executable, "-m", "faults._trainer", str(seed), *trainers],
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
        )
        cases = section.cases
        for line in done.stdout.splitlines():
            rows, findings, tried = json.loads(line)
            section.rows += [tuple(row) for row in rows]
            section.findings += [Finding(*finding) for finding in findings]
            section.cases += tried
        if done.returncode:
            tail = " | ".join(done.stderr.splitlines()[-6:])
            raise RuntimeError(f"status {done.returncode}: {tail}")
        wanted = CASES * len(trainers)
        if section.cases - cases != wanted:
            raise RuntimeError(f"{section.cases - cases} cases were run, not {wanted}")
