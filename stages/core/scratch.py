"""Scratch paths: where an output is written until it is whole, and removal of abandoned ones.

A scratch path lies beside its target and names the process that fills it: its id; the time at which
it started, since ids are used again; and its host, since a workspace may lie on a file system that
several share. Of a process on another host nothing is known but how long its file has not changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

NAME = re.compile(r"\.(.+)\.(\d+)(?:-(\d+)-([0-9a-f]{8}))?\.tmp", re.DOTALL)
OUTPUTS = {  # folders that outputs lie in, and how many levels below them do so too
    "data": 0,
    "data/raw": 0,  # what lies below belongs to the user, and can be millions of files
    "data/unpack": 0,
    "data/align": 0,
    "data/features": 1,
    "models": 2,
    "metrics": 2,
    "plots": 1,
}
STATE_LEVELS = 3  # stage, item, digest
STATE, START = 0, 19  # fields of /proc/PID/stat after the name of the command
ABANDONED_S = 24 * 3600.0  # without a change, of another host's
DEAD = (b"Z", b"X")  # states of a process that has ended, though nobody has asked how


def scratch_path(target: Path) -> Path:
    """Path beside `target` for this process to write to."""
    pid = os.getpid()
    status = _status(pid)
    writer = f"{pid}-{status[START].decode()}-{_host()}" if status else f"{pid}"
    return target.with_name(f".{target.name}.{writer}.tmp")


def sweep_workspace() -> None:
    """Remove what dead processes left half-written in the folders of all outputs, if it can be."""
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
        name, pid, started, host = NAME.fullmatch(path.name).groups()
        if target not in (None, name):
            continue
        try:
            if _is_alive(int(pid), started) if host in (None, _host()) else _is_recent(path):
                continue
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


def _is_recent(path: Path) -> bool:
    """Whether a scratch path of another host has changed of late."""
    return time.time() - path.lstat().st_ctime < ABANDONED_S


@cache
def _host() -> str:
    """Name of what gives processes their ids: this machine, or a container on it."""
    try:
        ids = os.readlink("/proc/self/ns/pid")
    except OSError:
        ids = ""
    return hashlib.sha256(f"{os.uname().nodename} {ids}".encode()).hexdigest()[:8]


def _status(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
