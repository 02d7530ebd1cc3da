"""How every comparison is taken: in turns, medians."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from stages.core.allocator import keep_freed_memory

Task = Callable[[], object]
NO_BF16 = "this processor has no bf16 instructions"
EMULATION = "the processor has no bf16 instructions, and float32 does the work."
NO_AMX = "the target is of a processor with AMX; this one has none, and the limit is its own."
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx_ne_convert")
REST_S = 0.3  # before a turn: threads of the last one's matrix products wait in a loop for a while


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what is timed.
        ours_s, theirs_s: median seconds of this project and of the published algorithm or library.
        target: ratio theirs / ours to reach.
        best: best ratio known, or None.
        limit_share: seconds of the limit (matrix product, memory pass) over ours, or None.
        note: sizes, and what "theirs" is.
        cause: of a ratio below the target, as far as known; a sentence.
    """

    name: str
    ours_s: float
    theirs_s: float
    target: float
    best: float | None = None
    limit_share: float | None = None
    note: str = ""
    cause: str = ""

    @property
    def ratio(self) -> float:
        return self.theirs_s / self.ours_s

    def as_dict(self) -> dict:
        return asdict(self) | {"ratio": self.ratio}


def alternate(*tasks: Task, rounds: int = 5) -> list[float]:
    """Median seconds of each task; tasks take turns, after one round that is not counted."""
    return _medians([lambda task=task: _seconds(task) for task in tasks], rounds)


def apart(
    make: Callable[..., tuple[Task, ...]], *arguments: object, count: int, rounds: int = 5
) -> list[float]:
    """As `alternate`, each task in a process as its users start it, which waits for its turn.

    Ours has the allocator of a stage, which would serve the others too in the same process.

    Args:
        make: of a module; called with `arguments` in each process, returns the tasks, ours first.
        count: of the tasks.
    """
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for number in range(count):
            pipe, far = context.Pipe()
            job = context.Process(target=_serve, args=(far, make, arguments, number), daemon=True)
            job.start()
            far.close()
            stack.callback(job.join)
            stack.callback(pipe.close)
            pipes.append(pipe)
        return _medians([lambda pipe=pipe: _ask(pipe) for pipe in pipes], rounds)


def _medians(timed: list[Callable[[], float]], rounds: int) -> list[float]:
    taken = [[one() for one in timed] for _ in range(rounds + 1)][1:]
    return [median(seconds) for seconds in zip(*taken, strict=True)]


def _seconds(task: Task) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _ask(pipe: Connection) -> float:
    time.sleep(REST_S)
    pipe.send(None)
    return pipe.recv()


def _serve(
    pipe: Connection, make: Callable[..., tuple[Task, ...]], arguments: tuple, number: int
) -> None:
    if number == 0:
        keep_freed_memory()
    task = make(*arguments)[number]
    try:
        while True:
            pipe.recv()
            pipe.send(_seconds(task))
    except EOFError:  # nothing more is asked
        return


def has_bf16(instructions: tuple[str, ...] = BF16_INSTRUCTIONS) -> bool:
    """Whether the processor multiplies bfloat16 numbers, by one of these instructions."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return any(name in flags for name in instructions)


def cause_of_bf16() -> str:
    """Why a comparison in bfloat16 stays below its target here, as far as known."""
    if not has_bf16():
        return EMULATION
    return "" if has_bf16(("amx_bf16",)) else NO_AMX
