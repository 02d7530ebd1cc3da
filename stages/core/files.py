"""File hashing, and outputs written atomically."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.core.errors import InputError
from stages.core.scratch import remove, scratch_path, sweep

OF_STORAGE = {  # faults of the place that is written to, and what to do about them
    errno.ENOSPC: "free some room there, and run it again",
    errno.EDQUOT: "free some room there, and run it again",
    errno.EFBIG: "raise the limit on the size of files, and run it again",
    errno.EROFS: "make it writable, and run it again",
    errno.EACCES: "make it writable, and run it again",
    errno.EPERM: "make it writable, and run it again",
}

BLOCK = 1 << 20  # bytes hashed at a time


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, in the memory of one block."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class StorageError(InputError):
    """An output cannot be written, for a reason in OF_STORAGE."""

    def __init__(self, path: str | os.PathLike, number: int) -> None:
        self.errno = number
        super().__init__(path, os.strerror(number).lower(), OF_STORAGE[number])


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """Yield a scratch path beside `target`, which is removed if it is still there at the end.

    Raise StorageError that names `target` if its disk is full or read-only.
    """
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, target=target.name)
        scratch = scratch_path(target)
        remove(scratch)
        yield scratch
    except Exception as fault:
        number = _of_storage(target, fault)
        if number is None:
            raise
        raise StorageError(target, number) from None
    finally:
        if scratch:
            remove(scratch)


def _of_storage(target: Path, fault: Exception) -> int | None:
    """The number in OF_STORAGE that `fault` comes to, unless it is about another file."""
    if isinstance(fault, StorageError):  # of a file within a folder
        return fault.errno
    if isinstance(fault, OSError) and fault.errno in OF_STORAGE:
        is_input = fault.filename and os.fspath(target.parent) not in str(fault.filename)
        return None if is_input else fault.errno
    # Writers in other languages tell no number.
    is_full = not isinstance(fault, InputError) and os.statvfs(target.parent).f_bavail == 0
    return errno.ENOSPC if is_full else None


@contextmanager
def atomic_file(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a path to write; on success it replaces `target`, on an error it is removed."""
    target = Path(target)
    with _written(target) as scratch:
        yield scratch
        os.replace(scratch, target)


@contextmanager
def atomic_folder(target: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it replaces `target`, on an error it is removed."""
    target = Path(target)
    with _written(target) as scratch:
        scratch.mkdir()
        yield scratch
        if target.exists():
            remove(target)
        os.replace(scratch, target)
