"""Golden files: arrays that the reference implementations computed on fixed inputs.

GOLDEN names the folder (default: tests/golden, the small files kept here). A golden test declares
its kind as a pattern and runs over every file that matches, whatever its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("GOLDEN") or Path(__file__).parent / "golden").resolve()
ABSENT = "no file of this kind in the folder"  # such a test is not collected (tests/conftest.py)
COVERED: set[str] = set()

if os.environ.get("GOLDEN") and not any(FOLDER.glob("*")):
    raise pytest.UsageError(f"GOLDEN={FOLDER}: no such folder, or empty. Unset it for tests/golden")

# Kinds whose subject is not built yet.
NOT_YET_COVERED = ()


def golden(*patterns: str, argument: str = "file") -> Callable:
    """Mark and parametrise a test over the golden files that match any of `patterns`."""
    COVERED.update(patterns)
    files = sorted({file for pattern in patterns for file in FOLDER.glob(pattern)})
    names = [str(file.relative_to(FOLDER)) for file in files]
    each = pytest.mark.parametrize(argument, files or [ABSENT], ids=names or ["absent"])
    return lambda test: pytest.mark.golden(each(test))
