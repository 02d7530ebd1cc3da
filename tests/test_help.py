"""--help of the commands that a person types names what may be given."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stages.check.code import ROOT
from stages.core.params import choices


def helps(*command: str) -> str:
    given = [sys.executable, "-m", *command, "--help"]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


def test_embeddings_names_formats_and_protocols() -> None:
    said = helps("stages.evaluate.embeddings")
    assert ", ".join(choices("datasets")) in said
    assert ", ".join(choices("protocols")) in said
    assert "docs/features.md" in said


@pytest.mark.parametrize("word", ["usage: python -m stages.report compare", "`workspace`", "rows"])
def test_compare_says_what_a_revision_and_a_row_are(word) -> None:
    assert word in helps("stages.report", "compare")
