"""Golden files: arrays that the reference implementations computed on fixed inputs.

GOLDEN names the folder (default: tests/golden, the small files kept here). A golden test declares
its kind as a pattern and runs over every file that matches, whatever its name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("GOLDEN") or Path(__file__).parent / "golden").resolve()
COVERED: set[str] = set()


def golden(*patterns: str, argument: str = "file") -> pytest.MarkDecorator:
    """Parametrise a test over the golden files that match any of `patterns` (relative globs)."""
    COVERED.update(patterns)
    files = sorted({file for pattern in patterns for file in FOLDER.glob(pattern)})
    return pytest.mark.parametrize(
        argument, files, ids=[str(file.relative_to(FOLDER)) for file in files]
    )
