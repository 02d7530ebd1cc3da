"""What a kill of DVC leaves torn, made whole, so that the next `dvc repro` starts.

DVC writes dvc.lock and .dvc/tmp/rwlock in place, dvc.lock for up to a second after every stage; a
kill in that second leaves a part of the file, at which DVC refuses to start. Every stage that ran
is in DVC's run cache, so that nothing runs again for want of its entry in dvc.lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.core.entry import start
from stages.core.files import atomic_file

LOCK_FILE = Path("dvc.lock")
RUNNING = Path(".dvc/tmp/rwlock")  # which process reads and writes what
GUARDS = (Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock.lock"))  # held while DVC writes these two
ENTRY = re.compile(r"^  \S.*:$", re.MULTILINE)  # begin of a stage in dvc.lock


def main() -> None:
    """Drop the torn end of dvc.lock and a torn .dvc/tmp/rwlock; the rest is left as it is."""
    with _no_dvc_writes() as alone:
        if alone:
            _mend_lock_file()
            _mend_running()


def _mend_lock_file() -> None:
    if not LOCK_FILE.is_file():
        return
    text = LOCK_FILE.read_text(errors="replace")
    if _is_whole(text):
        return
    entries = [match.start() for match in ENTRY.finditer(text)]
    print(f"{LOCK_FILE}: torn by a kill; {len(entries[:-1])} whole entries kept")
    if len(entries) < 2:
        LOCK_FILE.unlink()
        return
    with atomic_file(LOCK_FILE) as scratch:
        scratch.write_text(text[: entries[-1]])


def _is_whole(text: str) -> bool:
    """Whether DVC itself would read it."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import YAMLError, parse_yaml
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, LOCK_FILE))
    except (YAMLError, Invalid):
        return False
    return True


def _mend_running() -> None:
    if not RUNNING.is_file():
        return
    try:
        json.loads(RUNNING.read_text(errors="replace"))
    except ValueError:
        print(f"{RUNNING}: torn by a kill; removed")
        RUNNING.unlink()


@contextmanager
def _no_dvc_writes() -> Iterator[bool]:
    """Whether DVC's own locks were free; they are held within."""
    held: list[int] = []
    try:
        for guard in GUARDS:
            if guard.is_file():
                held.append(os.open(guard, os.O_RDWR))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        for descriptor in held:
            os.close(descriptor)


if __name__ == "__main__":
    start(main)
