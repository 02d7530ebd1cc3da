"""Run a function on several ranks at once (gloo, one machine)."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch.distributed"])  # one import for all processes
LIMIT_S = 120
POLL_S = 0.01


def on_ranks(
    function: Callable[[], Any], folder: Path, sizes: tuple[int, ...] = (1, 2, 3)
) -> dict[int, list[Any]]:
    """What `function`, which can be pickled, returns on every rank, by number of ranks.

    Args:
        folder: for files of this call; empty, so use tmp_path or tmp_path_factory.mktemp.
    """
    processes = [
        CONTEXT.Process(target=_work, args=(function, number, sizes, folder))
        for number in range(max(sizes))
    ]
    for process in processes:
        process.start()
    _wait(processes)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    return {
        size: [
            pickle.loads((folder / f"{size}-{number}.pickle").read_bytes())
            for number in range(size)
        ]
        for size in sizes
    }


def _wait(processes: list[Any]) -> None:
    """Until all have ended; when one fails, the others would wait for it and are ended too."""
    deadline = time.monotonic() + LIMIT_S
    while any(process.exitcode is None for process in processes):
        if any(process.exitcode for process in processes) or time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(POLL_S)


def _work(function: Callable[[], Any], number: int, sizes: tuple[int, ...], folder: Path) -> None:
    torch.set_num_threads(1)
    for size in sizes:
        if number < size:
            torch.distributed.init_process_group(
                "gloo", f"file://{folder}/{size}.store", rank=number, world_size=size
            )
            result = function()
            torch.distributed.destroy_process_group()
            (folder / f"{size}-{number}.pickle").write_bytes(pickle.dumps(result))
