"""Memory that reading a file from outside may take: a few forged bytes can ask for terabytes."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.core.errors import InputError

TIMES_SIZE = 2  # of the file: its bytes, and what is made of them
SLACK = 48 << 20  # bytes beside that; with Python's own it stays below 64 MiB
STATUS = Path("/proc/self/status")  # of Linux; elsewhere nothing is bounded


def room(size: int) -> int:
    """Bytes of memory that reading a file of `size` bytes may take."""
    return TIMES_SIZE * size + SLACK


@contextmanager
def bounded(path: str | os.PathLike, remedy: str) -> Iterator[None]:
    """Within the block the process may grow by the `room` of the file.

    Meant for a block without threads, since the bound is the process's.

    Raises:
        InputError: the block asked for more.
    """
    path = Path(path)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_bytes() + room(path.stat().st_size if path.is_file() else 0)
    soft, hard = before
    if STATUS.exists() and (soft == resource.RLIM_INFINITY or wanted < soft):
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    except MemoryError:
        problem = f"asks for more memory than {TIMES_SIZE} times its size"
        raise InputError(path, problem, remedy) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """Private writable memory of this process, which RLIMIT_DATA is compared with."""
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmData"))
    return int(line.split()[1]) << 10
