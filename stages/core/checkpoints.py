"""Training state between two runs of the same stage: resumed after a kill, gone after success.

It is no DVC output: DVC would let one configuration start from another's weights. It lives under
the DVC root, in a folder named after everything that the result depends on, so that a changed
parameter, code file or image never meets a checkpoint of before.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stages.core.digest import digest
from stages.core.errors import InputError
from stages.core.files import atomic_file, sha256
from stages.core.params import STAGES
from stages.core.ranks import rank, size
from stages.core.scratch import scratch_path, training_state

STATE = "state.pt"
LOCK = "lock"
WAIT_FOR_LOCK_S = 30.0
LOCK_POLL_S = 0.2


class Checkpoints:
    """The checkpoint folder of one stage in one configuration, locked while it is in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Replace the last state by this one, whole or not at all; the first rank writes it."""
        import torch

        if rank():
            return
        with atomic_file(self.folder / STATE) as scratch:
            torch.save(state, scratch)

    def load(self) -> dict[str, Any] | None:
        """The last state, or None if there is none; other ranks hear it from the first."""
        import torch

        path = self.folder / STATE
        if size() == 1:
            return _read(path) if path.is_file() else None
        content = [path.read_bytes() if rank() == 0 and path.is_file() else None]
        torch.distributed.broadcast_object_list(content)
        return None if content[0] is None else _read(io.BytesIO(content[0]))


def _read(file: Path | io.BytesIO) -> dict[str, Any]:
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)


@contextmanager
def checkpoints(stage: str, settings: dict[str, Any], inputs: list[Path]) -> Iterator[Checkpoints]:
    """Lock and yield the checkpoint folder of `stage`; remove it when the block succeeds.

    Of several ranks the first does so; the folder may be out of the others' reach.

    Args:
        stage: name of the stage and of its item.
        settings: every parameter that the result depends on.
        inputs: every file that the result depends on, apart from code; the loaded modules of this
            project are added.
    """
    if rank():
        yield Checkpoints(Path())
        return
    folder = training_state() / stage / _digest(settings, inputs)
    with _locked(folder / LOCK):
        yield Checkpoints(folder)
        done = scratch_path(folder)
        folder.rename(done)  # at once: whoever waits for the lock sees that it is gone
        shutil.rmtree(done)


def _digest(settings: dict[str, Any], inputs: list[Path]) -> str:
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    # by their files: the one that was started is called __main__
    files = {
        Path(module.__file__).resolve()
        for name, module in [*sys.modules.items()]
        if name.partition(".")[0] in ("__main__", "stages") and getattr(module, "__file__", None)
    }
    for file in sorted(file for file in files if file.is_relative_to(STAGES)):
        found.update(digest(file).encode())
    for path in inputs:
        found.update(sha256(Path(path)).encode())
    return found.hexdigest()[:32]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + WAIT_FOR_LOCK_S
    while not (lock := _try_lock(path)):
        if time.monotonic() > deadline:
            problem = "another training run holds this checkpoint"
            raise InputError(path, problem, "wait for it or stop it")
        time.sleep(LOCK_POLL_S)
    with lock:
        yield


def _try_lock(path: Path) -> IO | None:
    """The open file at `path`, locked; None if another process has it or has just removed it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = open(path, "w")  # noqa: SIM115
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    lock.close()
    return None
