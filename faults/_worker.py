"""Cases of one format, each in a process of its own, so that a crash and its memory are its own.

`python -m faults._worker FORMAT SEED FOLDER` prints a line of JSON for each case.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from faults._cases import CANARY, Case, Format, any_file
from faults.formats import FORMATS
from stages.core.errors import InputError

LONGEST_S = 120  # of a case
TIMES_SIZE, SLACK = 2, 64 << 20  # memory that reading a file may take


class TooLongError(Exception):
    """The case did not end."""


def main(name: str, seed: str, folder: str) -> None:
    format = FORMATS[name]
    signal.signal(signal.SIGALRM, _too_long)
    sample = Path(folder) / "sample"
    sample.mkdir()
    file = format.make(sample).relative_to(sample)
    whole = [_read(format, sample, Path(folder) / f"whole{n}")[1] for n in range(2)]
    if whole[0] != whole[1]:
        raise AssertionError("reading the whole sample twice gives two results")
    with inside(sample):
        cases = cases_of(format, file, Random(f"{seed} {name}"))
    gc.freeze()  # what is there by now stays: to look at it for every case takes seconds
    for case in cases:
        place = Path(folder) / "case"
        result = apart(partial(run, format, case, sample, file, place, whole[0]))
        print(json.dumps({"kind": case.kind, "name": case.name, **result}), flush=True)
        shutil.rmtree(place)


def cases_of(format: Format, file: Path, draw: Random) -> list[Case]:
    """All cases, drawn by `draw`; the current folder is the sample's."""
    return [*any_file(file.read_bytes(), draw), *format.cases(file, draw)]


def run(
    format: Format, case: Case, sample: Path, file: Path, place: Path, whole: str
) -> dict[str, Any]:
    """One case in a copy of the sample: what came of it, and what is wrong with that."""
    shutil.copytree(sample, place)
    with inside(place):
        case.damage(file)
        size = sum(f.stat().st_size for f in place.rglob("*") if f.is_file())
        before = _forget_peak()
        outcome, told = _outcome(format)
        grown = _peak() - before
        wrong = _judge(format, case, file, outcome, told, whole)
        if grown > TIMES_SIZE * size + SLACK:
            wrong.append(f"took {grown >> 20} MiB for {size >> 10} KiB")
        if CANARY.exists():
            wrong.append("was executed")
        left = [str(f) for f in Path().rglob(".*.tmp")]
        wrong += [f"left {name} behind" for name in left]
    if outcome == "read":
        outcome = "same" if told == whole else "changed"
    said = str(told) if outcome in ("refused", "failed") else ""
    return {"outcome": outcome, "wrong": wrong, "grown": grown, "size": size, "said": said[:600]}


def apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` returns in a child process of this one, which a crash ends alone."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        content = told.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status or not content:
        wrong = [f"ended the process with status {status}"]
        return {"outcome": "failed", "wrong": wrong, "grown": 0, "size": 0, "said": ""}
    return json.loads(content)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With `folder` as the current one."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _read(format: Format, sample: Path, place: Path) -> tuple[str, Any]:
    shutil.copytree(sample, place)
    with inside(place):
        return _outcome(format)


def _outcome(format: Format) -> tuple[str, Any]:
    """`read` and the digest, `refused` and the error, or `failed` and a traceback."""
    signal.alarm(LONGEST_S)
    try:
        return "read", format.read()
    except InputError as error:
        return "refused", error
    except TooLongError:
        return "failed", f"did not end within {LONGEST_S} s"
    except BaseException:
        return "failed", traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)


def _judge(
    format: Format, case: Case, file: Path, outcome: str, told: Any, whole: str
) -> list[str]:
    if outcome == "failed":
        return [f"no InputError but {told}"]
    if outcome == "read":
        if told == whole and not (case.harmless or case.kind in format.unseen):
            return ["passed unseen"]
        if told != whole and case.kind not in format.unchecked:
            return ["gave other contents without a word"]
        return []
    wrong = []
    if not _is_remedy(told):
        wrong.append(f"remedy {told.remedy!r}")
    if Path(told.file).is_absolute() or ".." in told.file:
        wrong.append(f"names the file {told.file!r}")
    record = "" if told.record is None else _record(told)
    if case.record is not None and not re.fullmatch(case.record, record):
        wrong.append(f"names the record {record!r}, not {case.record}")
    if len(str(told)) > LONGEST_LINE or "\n" in str(told).strip():
        wrong.append(f"says {len(str(told))} characters")
    return wrong


LONGEST_LINE = 2_000  # characters a message may have
FEWEST_WORDS = 2  # of a remedy: a verb and what to do it to


def _is_remedy(error: InputError) -> bool:
    """Whether the message tells the user what to do; not in which words."""
    told = str(error).partition("Remedy: ")[2]
    has_words = len(error.remedy.split()) >= FEWEST_WORDS
    return has_words and error.remedy in told and error.remedy not in error.problem


def _record(error: InputError) -> str:
    return f"record {error.record}" if isinstance(error.record, int) else error.record


def _too_long(*_: object) -> None:
    raise TooLongError


def _forget_peak() -> int:
    """Start the process's peak of memory anew; the memory it has now, bytes."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) << 10
    raise OSError(f"no {key} in /proc/self/status")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(*sys.argv[1:])
