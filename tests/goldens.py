"""Golden files: arrays that the reference implementations computed on fixed inputs.

GOLDEN names the folder (default: tests/golden, the small files kept here). A golden test declares
its kind as a pattern and runs over every file that matches, whatever its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def stored(arrays: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Those arrays that the file has, by our names for them.

    Args:
        names: the file's name for each of ours.
    """
    found = {ours: arrays[theirs] for ours, theirs in names.items() if theirs in arrays}
    assert found, f"none of {sorted(names.values())}"
    return found


def setting(file: Path, arrays: Any, name: str, default: float) -> float:
    """A number that made the file: its array `name`, else `_<name>0.3` in its own name.

    Args:
        default: the index's, for a file that has neither.
    """
    if name in arrays:
        return float(arrays[name])
    match = re.search(rf"_{name}(\d+(?:\.\d+)?)(?=_|\.npz|$)", file.name)
    return float(match[1]) if match else default
