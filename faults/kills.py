"""`dvc repro` of the cut-down pipeline, killed again and again at moments drawn by a seed.

Each kill ends DVC alone or its whole process group. Nobody tidies up after it but the next
`make repro`'s own first step. When the pipeline has finished before the kills are spent, the rest
falls on another clone.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import yaml

from faults._clone import finished, new
from faults._report import Finding, Section
from tests.test_pipeline import Clone, environment

KILLS = 50
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SCOPES = ("dvc alone", "whole group")
REACH_STARTS = 6  # latest moment, in times that DVC takes to find that nothing is to be done
DIES_WITHIN_S = 3.0  # DVC lets SIGINT pass while a stage runs: then the run goes on
RUNNING = re.compile(r"Running stage '(.+)':")
RESUMED = re.compile(r"(\S+): resumes after epoch (\d+), step (\d+)")
MEND = (sys.executable, "-m", "stages.check.mend")


@dataclass
class Run:
    """One clone, on its way through the pipeline.

    Attributes:
        log: of its last `dvc repro`.
        done: stages whose outputs dvc.lock has named.
        before: those of them that were done when the last `dvc repro` began; none may run in it.
        reached: epoch and step from which a trainer has last gone on.
        mended: files that a kill left torn and the next start put right.
    """

    clone: Clone
    done: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)
    process: subprocess.Popen | None = None

    @property
    def log(self) -> Path:
        return self.clone.folder.parent / f"{self.clone.folder.name}.log"

    def start(self) -> None:
        """What `make repro` does: mend what a kill has torn, then `dvc repro`."""
        said = self.clone.run(*MEND)
        self.mended += [line for line in said.splitlines() if line]
        self.before = set(self.done)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["dvc", "repro"],
                cwd=self.clone.folder,
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self, within: float) -> bool:
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ran(self) -> list[str]:
        return RUNNING.findall(self.log.read_text())

    def locked(self) -> set[str]:
        """Stages in dvc.lock, or those known of where it is torn."""
        try:
            content = yaml.safe_load((self.clone.folder / "dvc.lock").read_text())
            return set(content["stages"])
        except (OSError, yaml.YAMLError, TypeError, KeyError):
            return set()


def check(seed: int) -> Section:
    """50 kills, and what became of the pipeline."""
    draw = random.Random(f"{seed} kills")
    section = Section(("signal", "to", "kills", "in stage", "between stages"))
    with tempfile.TemporaryDirectory(prefix="faceline-kills-") as scratch:
        folder = Path(scratch)
        undisturbed = finished()
        began = time.monotonic()
        undisturbed.run("dvc", "repro")
        start = time.monotonic() - began
        moments = list(_moments(draw, REACH_STARTS * start))
        run, laps = Run(new(folder / "lap1")), 1
        runs = [run]
        counted: Counter = Counter()
        while moments:
            if run.process is None or run.process.poll() is not None:
                run.start()
            moment, number, scope = moments[0]
            if run.ended(moment):
                section.findings += _judge(run, undisturbed)
                laps += 1
                run = Run(new(folder / f"lap{laps}"))
                runs.append(run)
                continue
            moments.pop(0)
            inside = _kill(run, number, scope)
            counted[number.name, scope, inside] += 1
            section.findings += _after_kill(run, f"{number.name} to {scope}")
            print(
                f"kill {KILLS - len(moments)}: {number.name} to {scope} after {moment:.1f} s; "
                f"{len(run.done)} stages done in lap {laps}",
                file=sys.stderr,
                flush=True,
            )
        if run.process is not None and run.process.poll() is None:
            run.process.wait()
        else:
            run.start()
            run.process.wait()
        section.findings += _judge(run, undisturbed)
    for number, scope in product(SIGNALS, SCOPES):
        inside, outside = (counted[number.name, scope, where] for where in (True, False))
        section.rows.append((number.name, scope, inside + outside, inside, outside))
    torn = Counter(line.split(":")[0] for run in runs for line in run.mended)
    mended = ", ".join(f"{name} {count} times" for name, count in torn.items()) or "never"
    section.notes.append(
        f"Clones that went from nothing to the end: {laps}. "
        f"Torn by a kill and mended by the next start: {mended}."
    )
    return section


def _moments(draw: random.Random, reach: float) -> Iterator[tuple[float, signal.Signals, str]]:
    """KILLS of them, every signal and scope about equally often."""
    kinds = list(product(SIGNALS, SCOPES))
    chosen = (kinds * (KILLS // len(kinds) + 1))[:KILLS]
    draw.shuffle(chosen)
    for number, scope in chosen:
        yield draw.uniform(0, reach), number, scope


def _kill(run: Run, number: signal.Signals, scope: str) -> bool:
    """Send the signal; whether a stage was running."""
    before = run.ran()
    inside = bool(before) and before[-1] not in run.locked()
    if scope == "whole group":
        os.killpg(run.process.pid, number)
    else:
        os.kill(run.process.pid, number)
    run.ended(DIES_WITHIN_S)
    return inside


def _after_kill(run: Run, what: str) -> list[Finding]:
    """Nothing that was done before is done again."""
    again = [stage for stage in run.ran() if stage in run.before]
    found = [Finding(f"after {what}", f"{stage} ran again though it was done") for stage in again]
    for trainer, *place in RESUMED.findall(run.log.read_text()):
        place = tuple(map(int, place))
        if place < run.reached.get(trainer, place):
            found.append(Finding(f"after {what}", f"{trainer} went back to epoch {place[0]}"))
        run.reached[trainer] = place
    run.done |= run.locked()
    return found


def _judge(run: Run, undisturbed: Clone) -> list[Finding]:
    """A run that ended by itself: with status 0, and the bytes of the undisturbed one."""
    if run.process.returncode != 0:
        tail = " | ".join(run.log.read_text().splitlines()[-12:])
        return [Finding("dvc repro after a kill", f"status {run.process.returncode}: {tail}")]
    found = _after_kill(run, "the last kill")
    ours, theirs = run.clone.hashes(), undisturbed.hashes()
    for path in sorted(ours.keys() | theirs.keys()):
        if ours.get(path) != theirs.get(path):
            found.append(Finding("final bytes", f"{path} differs from the undisturbed run"))
    if run.clone.stale():
        found.append(Finding("dvc status", f"stale after the end: {sorted(run.clone.stale())}"))
    left = [str(f.relative_to(run.clone.folder)) for f in _scratch_files(run.clone.folder)]
    found += [Finding("half-written", f"{name} is left behind") for name in left]
    return found


def _scratch_files(folder: Path) -> list[Path]:
    """What stages write beside their outputs until they are whole, and checkpoints."""
    outputs = [folder / name for name in ("data", "models", "metrics", "plots")]
    scratch = [file for place in outputs for file in place.rglob(".*.tmp")]
    return scratch + list((folder / ".dvc/tmp/checkpoints").glob("**/state.pt"))
