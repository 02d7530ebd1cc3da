"""The end-to-end test's cut-down pipeline, run to its end once for all sections and seeds."""

from __future__ import annotations

import time
from pathlib import Path

from tests.test_pipeline import CUT_DOWN, Clone


def new(folder: Path) -> Clone:
    """A scratch repository in a new folder, where nothing has run."""
    folder.mkdir(parents=True)
    return Clone(folder, CUT_DOWN)


def at(folder: Path) -> Clone:
    """The scratch repository that is already in `folder`."""
    clone = Clone.__new__(Clone)
    clone.folder = folder
    return clone


def finished(folder: Path) -> Clone:
    """One in a new folder where everything has run undisturbed. Sections copy it or read it."""
    clone = new(folder)
    clone.run("dvc", "repro")
    return clone


def seconds_to_find_nothing_to_do(clone: Clone) -> float:
    """Time of a `dvc repro` in a clone where everything has run."""
    began = time.monotonic()
    clone.run("dvc", "repro")
    return time.monotonic() - began
