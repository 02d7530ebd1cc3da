"""Scratch paths: where an output is written until it is whole, and removal of abandoned ones.

A scratch path lies beside its target and names the process that fills it: its id, and the time at
which it started, since ids are used again. A workspace belongs to one host at a time, as DVC's own
`.dvc/tmp/rwlock` has it: to a second host, the processes of the first look dead.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"\.(.+)\.(\d+)(?:-(\d+))?\.tmp", re.DOTALL)  # target, process, its start
OUTPUTS = {  # folders that outputs lie in, and how many levels below them do so too
    "data": 0,
    "data/raw": 0,  # what lies below belongs to the user, and can be millions of files
    "data/unpack": 0,
    "data/align": 0,
    "data/features": 2,
    "models": 2,
    "metrics": 2,
    "plots": 1,
}
STATE_LEVELS = 3  # stage, item, digest
STATE, START = 0, 19  # fields of /proc/PID/stat after the name of the command
DEAD = (b"Z", b"X")  # states of a process that has ended, though nobody has asked how


def scratch_path(target: Path) -> Path:
    """Path beside `target` for this process to write to."""
    pid = os.getpid()
    started = _started(pid)
    writer = f"{pid}-{started}" if started else f"{pid}"
    return target.with_name(f".{target.name}.{writer}.tmp")


def sweep_workspace() -> None:
    """Remove from the folders of all outputs what dead processes have left half-written.

    What cannot be removed stays. On several hosts nothing is removed: they may share the folders.
    """
    if os.environ.get("NNODES", "1") != "1":
        return
    for folder, levels in OUTPUTS.items():
        sweep(Path(folder), levels)
    sweep(training_state(), STATE_LEVELS)


def training_state() -> Path:
    """Folder of the checkpoints, below the DVC root: a queued experiment has a root of its own."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "tmp" / "checkpoints"


def sweep(folder: Path, levels: int = 0, target: str | None = None) -> None:
    """Remove the scratch paths of dead processes in `folder`.

    Args:
        folder: may be missing.
        levels: number of levels of subfolders to look into.
        target: name of the only target whose scratch paths are meant; None: any.
    """
    for path in _scratch_paths(folder, levels):
        name, pid, started = NAME.fullmatch(path.name).groups()
        if target in (None, name) and not _is_alive(int(pid), started):
            try:
                remove(path)
            except OSError:  # read-only, or another process was faster
                continue


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _scratch_paths(folder: Path, levels: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:  # missing, or not readable
        return
    for entry in entries:
        if NAME.fullmatch(entry.name):
            yield Path(entry.path)
        elif levels and entry.is_dir(follow_symlinks=False):
            yield from _scratch_paths(Path(entry.path), levels - 1)


def _is_alive(pid: int, started: str | None) -> bool:
    """Whether process `pid` runs and, where `started` is known, is the one that started then."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    status = _status(pid)
    if not status:
        return True
    return status[STATE] not in DEAD and started in (None, status[START].decode())


def _started(pid: int) -> str | None:
    """Start of a process in clock ticks since the machine's; None where that is not told."""
    status = _status(pid)
    return status[START].decode() if status else None


def _status(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
