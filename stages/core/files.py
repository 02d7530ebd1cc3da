"""Outputs appear whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _scratch(target: Path) -> Path:
    """A sibling of target to write into; what killed runs left there is removed first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.*.tmp"):
        if not _alive(int(stale.suffixes[-2].lstrip("."))):
            _remove(stale)
    return target.parent / f".{target.name}.{os.getpid()}.tmp"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_file(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a path to write; on success it replaces `target`, on an error it is removed."""
    target = Path(target)
    scratch = _scratch(target)
    try:
        yield scratch
        os.replace(scratch, target)
    except BaseException:
        _remove(scratch)
        raise


@contextmanager
def atomic_folder(target: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it replaces `target`, on an error it is removed."""
    target = Path(target)
    scratch = _scratch(target)
    _remove(scratch)
    scratch.mkdir()
    try:
        yield scratch
        if target.exists():
            _remove(target)
        os.replace(scratch, target)
    except BaseException:
        _remove(scratch)
        raise
