"""The end-to-end test's cut-down pipeline, run to its end once for all sections."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.test_pipeline import CUT_DOWN, Clone


def new(folder: Path) -> Clone:
    """A scratch repository in a new folder, where nothing has run."""
    folder.mkdir(parents=True)
    return Clone(folder, CUT_DOWN)


@cache
def finished() -> Clone:
    """One where all has run undisturbed. Whoever changes it puts it back."""
    scratch = Path(tempfile.mkdtemp(prefix="faceline-faults-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    clone = new(scratch / "undisturbed")
    clone.run("dvc", "repro")
    return clone
