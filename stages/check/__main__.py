"""params.yaml is valid, and the files and data that it names exist; one second, no torch."""

from __future__ import annotations

from pathlib import Path

from stages.check.validate import validate
from stages.core.entry import start
from stages.core.files import atomic_file
from stages.core.params import read_params

VERDICT = Path("data/check/ok")


def main() -> None:
    """Validate params.yaml; write a constant file that stands before every other stage."""
    validate(read_params())
    with atomic_file(VERDICT) as scratch:
        scratch.write_text("params.yaml is valid\n")


if __name__ == "__main__":
    start(main)
