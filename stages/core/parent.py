"""A stage ends with the process that started it, so that no two write the same output."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

PARENT_POLL_S = 0.2


def die_with_parent(of_dvc: bool) -> None:
    """End this process when the one that started it dies, if that is `dvc` or a launcher of ours.

    A SIGKILL of `dvc` reaches neither the shell it started nor this process, and the next
    `dvc repro` would start the same stage beside it. Where a shell or launcher stands
    between (its command line names this stage), the process that started it is watched too.
    What a person starts by hand outlives the terminal.
    """
    starters = _starters if of_dvc else _launcher
    chain = starters()
    if not chain:
        return

    def watch() -> None:
        while starters() == chain:
            time.sleep(PARENT_POLL_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="die with parent").start()


def _launcher() -> list[int]:
    """Process id of the parent, if that is a stage: the launcher of its ranks."""
    words = _proc(os.getppid(), "cmdline").split(b"\0")
    return [os.getppid()] if any(word.startswith(b"stages.") for word in words) else []


def _starters() -> list[int]:
    """Process ids from the parent up to the first whose command line names no stage of ours."""
    chain = [os.getppid()]
    while b"stages." in _proc(chain[-1], "cmdline"):
        chain.append(_parent_of(chain[-1]))
    return chain


def _proc(pid: int, entry: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{entry}").read_bytes()
    except OSError:
        return b""


def _parent_of(pid: int) -> int:
    fields = _proc(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0
