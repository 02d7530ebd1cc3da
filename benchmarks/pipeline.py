"""What DVC and start-up cost: nothing of ours stands on the other side but `dvc --version`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks._measure import Row, alternate

ROOT = Path(__file__).resolve().parent.parent
NO_OP_FACTOR = 10  # a repro with nothing to do, over `dvc --version`
START_SHARE = 0.35  # start of a stage that trains nothing, over `import torch`
LIGHT_STAGES = ("check", "unpack", "align", "evaluate", "report")


def rows() -> list[Row]:
    found = []
    for command in ("repro", "status"):
        ours, theirs = alternate(_run("dvc", command), _run("dvc", "--version"), rounds=3)
        note = "against dvc --version; run `make repro` first"
        found.append(
            Row(f"dvc {command}, nothing to do", ours, theirs, 1 / NO_OP_FACTOR, 0.2, None, note)
        )
    for stage in LIGHT_STAGES:
        start = _run(sys.executable, "-m", f"stages.{stage}", "--help")
        ours, theirs = alternate(start, _run(sys.executable, "-c", "import torch"), rounds=3)
        note = "against python -c 'import torch'"
        found.append(Row(f"start of {stage}", ours, theirs, 1 / START_SHARE, None, None, note))
    return found


def _run(*command: str):
    return lambda: subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
