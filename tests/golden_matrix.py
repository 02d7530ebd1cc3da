"""All golden tests under every cap on vectors and number of threads: `make golden-matrix`.

What a processor computes in float32 depends on the width of its vectors and on the number of
threads. Each run here is `make golden` under one choice of
    ATEN_CPU_CAPABILITY: torch's own kernels without vectors, with AVX2, with all there is;
        ONEDNN_MAX_CPU_ISA, the cap on oneDNN's convolutions, goes with it
    MKL_CBWR: MKL's matrix products as the processor likes them, for any processor, with AVX2
    OMP_NUM_THREADS: what torch takes its number of threads from, as no golden test sets it
and the run itself reports what it was computed with (tests/conftest.py), which must be that.
Further arguments go to pytest: `python -m tests.golden_matrix tests/losses` is a part of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from typing import NamedTuple

from stages.core.seeding import NATIVE

ONEDNN = {"default": "SSE41", "avx2": "AVX2", NATIVE: NATIVE}  # by ATEN_CPU_CAPABILITY
MKL = (NATIVE, "COMPATIBLE", "AVX2")
THREADS = (1, 2)
COUNT = re.compile(r"(\d+) (passed|failed|errors?)\b")
HEADER = f"{'ATEN_CPU_CAPABILITY':20} {'MKL_CBWR':11} {'threads':>7} {'passed':>7} {'failed':>7}"
BAD = ("FAILED ", "ERROR ")


class Outcome(NamedTuple):
    """Counts of one run, and a line for each thing that is wrong with it."""

    passed: int
    failed: int
    wrong: list[str]


def environment(capability: str, mkl: str, threads: int) -> dict[str, str]:
    return {
        "ATEN_CPU_CAPABILITY": capability,
        "ONEDNN_MAX_CPU_ISA": ONEDNN[capability],
        "MKL_CBWR": mkl,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }


def computed_with(settings: dict[str, str]) -> str:
    """What a run reports of itself under these settings."""
    caps = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
    shown = [f"{cap} {unset_if_native(settings[cap])}" for cap in caps]
    return ", ".join([*shown, f"threads {settings['OMP_NUM_THREADS']}"])


def unset_if_native(value: str) -> str:
    return "unset" if value == NATIVE else value


def outcome(text: str, status: int, settings: dict[str, str]) -> Outcome:
    """Read the output of pytest."""
    lines = text.splitlines()
    last = "\n".join(lines[-2:])
    counts = {kind.rstrip("s"): int(number) for number, kind in COUNT.findall(last)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    wrong = [line for line in lines if line.startswith(BAD)]
    if not counts or (status and not failed):
        wrong += [f"pytest ended with status {status}:", *lines[-5:]]
    if f"computed with: {computed_with(settings)}" not in lines:
        said = [line for line in lines if line.startswith("computed with:")]
        wrong.append(f"not computed with: {computed_with(settings)}, but {said or 'unknown'}")
    return Outcome(counts.get("passed", 0), failed, wrong)


def run(settings: dict[str, str], arguments: list[str]) -> Outcome:
    # pyproject.toml has one -q; with a second, pytest prints no counts.
    command = [sys.executable, "-m", "pytest", "-rfE", "-m", "golden", *arguments]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    return outcome(done.stdout + done.stderr, done.returncode, settings)


def main(*arguments: str) -> int:
    """Print a row as each run ends; return 1 if any is not green."""
    print(HEADER, flush=True)
    wrong = []
    for threads, capability, mkl in product(THREADS, ONEDNN, MKL):
        found = run(environment(capability, mkl, threads), list(arguments))
        cell = f"{unset_if_native(capability):20} {unset_if_native(mkl):11} {threads:7}"
        print(f"{cell} {found.passed:7} {found.failed:7}", flush=True)
        wrong += [f"{' '.join(cell.split())}: {line}" for line in found.wrong]
    print("\n".join(wrong) if wrong else "All runs are green.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
