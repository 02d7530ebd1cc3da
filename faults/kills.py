"""`dvc repro` of the cut-down pipeline, killed again and again at moments drawn by a seed.

Each kill ends DVC alone or its whole process group. Nothing tidies up after it but the first step
of the next `make repro`. When the pipeline has finished before the kills are spent, another clone
takes the rest.
"""

from __future__ import annotations

import json
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
from typing import NamedTuple

import yaml

from faults import _clone
from faults._report import Finding, Section
from faults._task import Task
from stages.core.checkpoints import STATE
from stages.core.fit import RESUMES as SAID
from stages.core.scratch import training_state
from tests.test_pipeline import Clone, environment

KILLS = 50
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ALONE, WHOLE_GROUP = SCOPES = ("dvc alone", "whole group")
REACH_STARTS = 6  # latest moment, in times that DVC takes to find that nothing is to be done
DIES_WITHIN_S = 3.0  # DVC lets SIGINT pass while a stage runs: then the run goes on
RUNNING = re.compile(r"Running stage '(.+)':")
RESUMES = re.compile(SAID.format(name=r"(\S+)", epoch=r"(\d+)", step=r"(\d+)"))
LONGEST_S = 1800  # of a `dvc repro`
POLL_S = 0.02
MEND = (sys.executable, "-m", "stages.check.mend")


class Moment(NamedTuple):
    """One kill.

    Attributes:
        after: seconds after the start of `dvc repro`, or of `stage`.
        signal: what is sent.
        scope: to which processes.
        stage: that has to run by then; None: whatever runs.
    """

    after: float
    signal: signal.Signals
    scope: str
    stage: str | None = None


@dataclass
class Run:
    """One clone, on its way through the pipeline.

    Attributes:
        targets: what `dvc repro` is asked for; everything if empty.
        log: of its last `dvc repro`.
        done: stages whose outputs dvc.lock has named.
        before: those of them that were done when the last `dvc repro` began; none may run in it.
        reached: epoch and step from which a trainer has last gone on.
        resumed: number of trainings that have gone on from a checkpoint.
        mended: files that a kill left torn and the next start fixed.
        signalled: whether the last `dvc repro` was sent a signal.
    """

    clone: Clone
    targets: tuple[str, ...] = ()
    done: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)
    resumed: int = 0
    mended: list[str] = field(default_factory=list)
    signalled: bool = False
    process: subprocess.Popen | None = None

    @property
    def log(self) -> Path:
        return self.clone.folder.parent / f"{self.clone.folder.name}.log"

    def start(self) -> None:
        """What `make repro` does: mend what a kill has torn, then `dvc repro`."""
        said = self.clone.run(*MEND)
        self.mended += [line for line in said.splitlines() if line]
        self.before = set(self.done)
        self.signalled = False
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["dvc", "repro", *self.targets],
                cwd=self.clone.folder,
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_over(self, moment: Moment) -> bool:
        """Whether `dvc repro`, started unless it runs, ends by itself before the moment."""
        self.start_unless_it_runs()
        until = time.monotonic() + LONGEST_S
        while moment.stage and moment.stage not in self.ran():
            if self.ended(POLL_S):
                return True
            if time.monotonic() > until:
                raise TimeoutError(f"{moment.stage} does not begin within {LONGEST_S} s")
        if not self.ended(moment.after):
            return False
        if self.died_late():
            self.start()
            return self.ended(moment.after)
        return True

    def died_late(self) -> bool:
        """Whether a signal ended `dvc repro` later than `_kill` waits for it, on a busy machine."""
        return self.signalled and self.process.poll() not in (None, 0)

    def start_unless_it_runs(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """End everything that runs in the clone."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

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


def check(task: Task) -> Section:
    """50 kills, and what became of the pipeline."""
    draw = random.Random(f"{task.seed} kills")
    with tempfile.TemporaryDirectory(prefix="faceline-kills-") as scratch:
        moments = list(_moments(draw, REACH_STARTS * task.idle_s))
        return disturb(_clone.at(Path(task.finished)), Path(scratch), moments)


def disturb(
    undisturbed: Clone, folder: Path, moments: list[Moment], targets: tuple[str, ...] = ()
) -> Section:
    """Clones in `folder` on their way through the pipeline, one after the other, killed again and
    again.

    Args:
        undisturbed: what they must end as.
        folder: an empty one.
        moments: when, and how.
        targets: stages to run, with all that they depend on; everything by default.
    """
    section = Section(("signal", "to", "kills", "in stage", "between stages"))
    runs: list[Run] = []
    counted: Counter = Counter()

    def lap() -> Run:
        runs.append(Run(_clone.new(folder / f"lap{len(runs) + 1}"), targets))
        return runs[-1]

    run = lap()
    for number, moment in enumerate(moments, 1):
        what = f"{moment.signal.name} to {moment.scope}"
        with section.guard(f"kill {number}, {what}"):
            if run.is_over(moment):
                section.findings += _judge(run, undisturbed)
                run = lap()
                if run.is_over(moment):
                    section.findings += _judge(run, undisturbed)
                    raise RuntimeError(f"a new clone is done within {moment.after:.1f} s")
            inside = _kill(run, moment)
            counted[moment.signal.name, moment.scope, inside] += 1
            section.cases += 1
            section.findings += _after_kill(run, what)
            print(
                f"kill {number}: {what} after {moment.after:.1f} s; {len(run.done)} stages done "
                f"in lap {len(runs)}",
                file=sys.stderr,
                flush=True,
            )
            continue
        run.stop()
        run = lap()
    with section.guard("the run after the last kill"):
        run.start_unless_it_runs()
        if run.ended(LONGEST_S) and run.died_late():
            run.start()
        if not run.ended(LONGEST_S):
            run.stop()
            raise TimeoutError(f"dvc repro does not end within {LONGEST_S} s")
        section.findings += _judge(run, undisturbed)
    for name, scope in sorted({(moment.signal.name, moment.scope) for moment in moments}):
        inside, outside = (counted[name, scope, where] for where in (True, False))
        section.rows.append((name, scope, inside + outside, inside, outside))
    torn = Counter(line.split(":")[0] for run in runs for line in run.mended)
    mended = ", ".join(f"{name} {count} times" for name, count in torn.items()) or "never"
    section.notes.append(
        f"Clones that went from nothing to the end: {len(runs)}. Trainings that went on from a "
        f"checkpoint: {sum(run.resumed for run in runs)}. "
        f"Torn by a kill and fixed by the next start: {mended}."
    )
    return section


def _moments(draw: random.Random, reach: float) -> Iterator[Moment]:
    """KILLS of them, every signal and scope about equally often."""
    kinds = list(product(SIGNALS, SCOPES))
    chosen = (kinds * (KILLS // len(kinds) + 1))[:KILLS]
    draw.shuffle(chosen)
    for number, scope in chosen:
        yield Moment(draw.uniform(0, reach), number, scope)


def _kill(run: Run, moment: Moment) -> bool:
    """Send the signal; whether a stage was running."""
    before = run.ran()
    inside = bool(before) and before[-1] not in run.locked()
    if moment.scope == WHOLE_GROUP:
        os.killpg(run.process.pid, moment.signal)
    else:
        os.kill(run.process.pid, moment.signal)
    run.signalled = True
    run.ended(DIES_WITHIN_S)
    return inside


def _after_kill(run: Run, what: str) -> list[Finding]:
    """Nothing that was done before is done again."""
    again = [stage for stage in run.ran() if stage in run.before]
    found = [Finding(f"after {what}", f"{stage} ran again though it was done") for stage in again]
    for trainer, *place in RESUMES.findall(run.log.read_text()):
        place = tuple(map(int, place))
        if place < run.reached.get(trainer, place):
            found.append(Finding(f"after {what}", f"{trainer} went back to epoch {place[0]}"))
        run.resumed += run.reached.get(trainer) != place
        run.reached[trainer] = place
    for trainer in [*run.reached]:
        if (run.clone.folder / "models" / trainer).exists():  # it has finished, and may begin anew
            del run.reached[trainer]
    run.done |= run.locked()
    return found


def _judge(run: Run, undisturbed: Clone) -> list[Finding]:
    """A run that ended by itself: with status 0, and the bytes of the undisturbed one."""
    if run.process.returncode != 0:
        tail = " | ".join(run.log.read_text().splitlines()[-12:])
        return [Finding("dvc repro after a kill", f"status {run.process.returncode}: {tail}")]
    found = _after_kill(run, "the last kill")
    ours, theirs = run.clone.hashes(), undisturbed.hashes()
    wanted = ours if run.targets else ours | theirs
    for path in sorted(wanted):
        if ours.get(path) != theirs.get(path):
            found.append(Finding("final bytes", f"{path} differs from the undisturbed run"))
    stale = json.loads(run.clone.run("dvc", "status", "--json", *run.targets) or "{}")
    if stale:
        found.append(Finding("dvc status", f"stale after the end: {sorted(stale)}"))
    left = [str(f.relative_to(run.clone.folder)) for f in _scratch_files(run.clone.folder)]
    found += [Finding("half-written", f"{name} is left behind") for name in left]
    return found


def _scratch_files(folder: Path) -> list[Path]:
    """What stages write beside their outputs until they are whole, and checkpoints."""
    state = folder / training_state()
    outputs = [folder / name for name in ("data", "models", "metrics", "plots")]
    scratch = [file for place in (*outputs, state) for file in place.rglob(".*.tmp")]
    return scratch + list(state.glob(f"**/{STATE}"))
