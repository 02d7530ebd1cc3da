"""Where outputs go: a disk that fills up, outputs that are read-only, inputs that are missing.

Each kind of stage runs in a copy of the finished pipeline, by its own command from dvc.lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml

from faults._report import Finding, Section
from faults._task import Task
from stages.check.code import LISTS
from tests.test_pipeline import environment

SHARES = (0.0, 0.5)  # of a stage's outputs that still fit on the disk
JOURNAL = re.compile(r"metrics/(train|distill|head)/")  # grows while its stage runs
NAMED_BY_NOTHING = {"unmated_probe"}  # QMUL-SurvFace: whatever lies there; less is another set
LEAVES_OUT = ("report",)  # shows what is there, as of models that were never trained here
SPARE = 16 << 20  # room in the scratch file system beside what is there
LIMIT = 2_000  # bytes a file may have where nothing can be mounted
LONGEST_S = 900  # of a run
VERDICT = re.compile(r"stages\.\w+: .+\. Remedy: .+\.")


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.lock has it.

    Attributes:
        name: without its item.
        command: what DVC runs.
        inputs: outputs of other stages.
        outputs: files and folders.
    """

    name: str
    command: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


HEADERS = ("stage", "full disk", "read-only outputs", "missing input", "a file of it missing")


def check(task: Task) -> Section:
    """Full, read-only and missing, stage by stage; for further seeds, missing files alone."""
    draw = Random(f"{task.seed} storage")
    section = Section(HEADERS)
    origin = Path(task.finished)
    with (
        tempfile.TemporaryDirectory(prefix="faceline-storage-") as scratch,
        disk(origin, Path(scratch)) as place,
    ):
        if not place.is_mounted:
            section.notes.append(
                f"Nothing can be mounted here: the disk is full at {LIMIT} bytes per file "
                f"(RLIMIT_FSIZE), and read-only is a matter of permissions."
            )
        for stage in one_of_each(origin, draw):
            print(f"{stage.name} ..", file=sys.stderr, flush=True)
            run(section, stage, place, draw, with_disk=task.first)
    section.notes.append("A cell has the number of runs.")
    return section


@dataclass(frozen=True)
class Place:
    """A copy of the finished pipeline, on a disk that can be filled.

    Attributes:
        folder: the copy.
        origin: what it is a copy of.
        is_mounted: whether the disk is a small one of its own.
    """

    folder: Path
    origin: Path
    is_mounted: bool


def run(section: Section, stage: Stage, place: Place, draw: Random, with_disk: bool) -> None:
    """Add a row with all faults of a stage.

    Args:
        section: gets the row and the findings.
        stage: its outputs are those of the undisturbed pipeline before and after.
        place: where it runs.
        draw: which file of an input is missing.
        with_disk: also what does not depend on the draw.
    """
    counts = [0, 0, 0, 0]
    for share in SHARES if with_disk else ():
        told = f"{share:.0%} of the outputs fit"
        with section.guard(f"{stage.name}, {told}"), _filled(stage, place, share) as limits:
            section.findings += _fails(stage, place, told, limits)
        _succeeds(section, stage, place, "after the disk has room again")
        counts[0] += 1
    if with_disk:
        with section.guard(f"{stage.name}, read-only"), _read_only(stage, place):
            section.findings += _fails(stage, place, "read-only")
        _succeeds(section, stage, place, "after outputs are writable again")
        counts[1] += 1
    whole = [place.folder / name for name in stage.inputs] if with_disk else []
    parts = [part for name in stage.inputs for part in _a_file_of(place.folder / name, draw)]
    for path in (*whole, *parts):
        told = f"no {path.relative_to(place.folder)}"
        may_succeed = path in parts or stage.name in LEAVES_OUT
        with section.guard(f"{stage.name}, {told}"), _gone(stage, place, path):
            section.findings += _fails(stage, place, told, may_succeed=may_succeed)
        counts[3 if path in parts else 2] += 1
    if whole or parts:
        _succeeds(section, stage, place, "after its inputs are back")
    section.rows.append((stage.name, *counts))
    section.cases += sum(counts)


def one_of_each(folder: Path, draw: Random) -> list[Stage]:
    """Of the stages that differ in their item alone, one by draw; in the order they ran."""
    entries = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    made = {out["path"] for entry in entries.values() for out in entry["outs"]}
    kinds: dict[str, list[Stage]] = {}
    for name, entry in entries.items():
        paths = [dep["path"] for dep in entry.get("deps", [])]
        inputs = tuple(
            path
            for path in paths
            if not _within(path, str(LISTS))  # stands before every stage, and nobody reads it
            and any(_within(path, out) or _within(out, path) for out in made)
        )
        outputs = tuple(out["path"] for out in entry["outs"])
        kind = name.partition("@")[0]
        kinds.setdefault(kind, []).append(Stage(kind, entry["cmd"], inputs, outputs))
    return [draw.choice(stages) for stages in kinds.values()]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


@contextlib.contextmanager
def disk(origin: Path, folder: Path) -> Iterator[Place]:
    """A copy of the finished pipeline in `folder`, if possible on a small file system of its own.

    Args:
        origin: folder of the finished pipeline; it is only read.
        folder: an empty one.
    """
    place = folder / "disk"
    place.mkdir()
    size = sum(f.stat().st_size for f in origin.rglob("*") if f.is_file()) + SPARE
    size += 4096 * sum(1 for _ in origin.rglob("*"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    is_mounted = _try(*mount)
    ignore = shutil.ignore_patterns(".git", "cache", "tmp")
    try:
        shutil.copytree(origin, place, dirs_exist_ok=True, ignore=ignore)
        (place / ".dvc/tmp").mkdir()
        yield Place(place, origin, is_mounted)
    finally:
        if is_mounted:
            _try("umount", "-l", str(place))


@contextlib.contextmanager
def _filled(stage: Stage, place: Place, share: float) -> Iterator[Callable[[], None] | None]:
    """Nothing but `share` of what the outputs take fits any more, and the outputs are gone."""
    _remove_outputs(stage, place)
    if not place.is_mounted:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        return
    needed = sum(_size(place.origin / name) for name in stage.outputs)
    ballast = place.folder / "ballast"
    free = shutil.disk_usage(place.folder).free
    try:
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - int(share * needed)))
        yield None
    finally:
        ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def _read_only(stage: Stage, place: Place) -> Iterator[None]:
    """The folders that the outputs are in cannot be written to, and the outputs are gone."""
    _remove_outputs(stage, place)
    parents = sorted({(place.folder / name).parent for name in stage.outputs})
    parents = [p for p in parents if not any(q in p.parents for q in parents)]
    try:
        for parent in parents:
            if place.is_mounted:
                _try("mount", "--bind", str(parent), str(parent))
                _try("mount", "-o", "remount,bind,ro", str(parent))
            else:
                parent.chmod(0o555)
        yield
    finally:
        for parent in parents:
            if place.is_mounted:
                _try("umount", "-l", str(parent))
            else:
                parent.chmod(0o755)


def _remove_outputs(stage: Stage, place: Place) -> None:
    """As DVC does before it runs a stage."""
    for name in stage.outputs:
        _remove(place.folder / name)


@contextlib.contextmanager
def _gone(stage: Stage, place: Place, path: Path) -> Iterator[None]:
    """Within the block the stage's outputs and the file or folder `path` are missing."""
    _remove_outputs(stage, place)
    elsewhere = path.with_name(f"{path.name}.away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        _remove(path)
        elsewhere.rename(path)


def _a_file_of(path: Path, draw: Random) -> list[Path]:
    """One file of a folder, by draw, that something else names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    files = [file for file in files if file.parent.name not in NAMED_BY_NOTHING]
    return [draw.choice(files)] if files else []


def _fails(
    stage: Stage,
    place: Place,
    fault: str,
    limits: Callable[[], None] | None = None,
    may_succeed: bool = False,
) -> list[Finding]:
    """Run the stage: it must end with one line, and leave nothing half-written.

    Args:
        stage: what runs.
        place: where.
        fault: what was done, in words.
        limits: called in the process before the stage.
        may_succeed: it may also end with the right outputs.
    """
    where = f"{stage.name}, {fault}"
    done = _run(stage, place, limits)
    if done.returncode == 0 and may_succeed:
        return [] if stage.name in LEAVES_OUT else _differences(stage, place, where)
    found = []
    said = [line for line in done.stderr.splitlines() if line and "it/s" not in line]
    said = [line for line in said if "%|" not in line and not line.startswith("params.yaml")]
    if done.returncode != 1 or not (said and VERDICT.fullmatch(said[-1])):
        tail = " | ".join(said[-4:])
        found.append(Finding(where, f"status {done.returncode}, not one line but: {tail}"))
    if "Traceback" in done.stderr:
        found.append(Finding(where, "a traceback"))
    for name in stage.outputs:
        if _is_part(place.folder / name, place.origin / name) and not JOURNAL.match(name):
            found.append(Finding(where, f"{name} is half-written"))
    for root in ("data", "models", "metrics", "plots"):
        for left in (place.folder / root).rglob(".*.tmp"):
            found.append(Finding(where, f"{left.relative_to(place.folder)} is left behind"))
            _remove(left)
    return found


def _succeeds(section: Section, stage: Stage, place: Place, when: str) -> None:
    """Run the stage: its outputs must be those of the undisturbed pipeline."""
    where = f"{stage.name}, {when}"
    with section.guard(where):
        done = _run(stage, place)
        if done.returncode:
            tail = " | ".join(done.stderr.splitlines()[-4:])
            raise RuntimeError(f"status {done.returncode}: {tail}")
        section.findings += _differences(stage, place, where)


def _differences(stage: Stage, place: Place, where: str) -> list[Finding]:
    return [
        Finding(where, f"{name} differs from the undisturbed one")
        for name in stage.outputs
        if _content(place.folder / name) != _content(place.origin / name)
    ]


def _is_part(path: Path, whole: Path) -> bool:
    """Whether something is there that is not all that should be."""
    return path.exists() and _content(path) != _content(whole)


def _content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {
        str(f.relative_to(path)): f.read_bytes()
        for f in files
        if f.is_file() and f.name != ".gitignore"
    }


def _run(
    stage: Stage, place: Place, limits: Callable[[], None] | None = None
) -> subprocess.CompletedProcess:
    return subprocess.run(
        stage.command.split(),
        cwd=place.folder,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=limits,
        timeout=LONGEST_S,
    )


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _try(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
