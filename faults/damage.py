"""Malformed input: every format by every kind of fault, from a seed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

from faults._cases import KINDS
from faults._report import Finding, Section
from faults._task import Task
from faults.formats import FORMATS

LONGEST_S = 900  # of a format


def check(task: Task) -> Section:
    """Cases by format and kind: refused / harmless / other contents."""
    section = Section(("format", *KINDS, "most memory"))
    counts: Counter = Counter()
    for name, format in FORMATS.items():
        print(f"{name} ..", file=sys.stderr, flush=True)
        with section.guard(name):
            results, findings = run(name, task.seed)
            section.findings += findings
            cells = [_cell(results, kind) for kind in KINDS]
            section.rows.append((name, *cells, _memory(results)))
            counts.update(result["outcome"] for result in results)
        for kind, what in format.instead.items():
            section.notes.append(f"{name}: {kind} do not apply; {what} instead.")
    section.cases = sum(counts.values())
    section.notes.insert(
        0,
        f"{section.cases} cases: {counts['refused']} refused by an error that names file, "
        f"record and remedy; {counts['same']} harmless, read as if whole; {counts['changed']} read "
        f"as other valid contents, where the format has no checksum. A cell has the three numbers.",
    )
    section.notes.insert(
        1,
        "Memory is the growth of the process's peak over what it had before, beyond twice the size "
        "of the files; 64 MiB are allowed.",
    )
    return section


def run(name: str, seed: int) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Results of all cases of a format, and what is wrong with them."""
    with tempfile.TemporaryDirectory(prefix="faceline-damage-") as folder:
        command = [sys.executable, "-m", "faults._worker", name, str(seed), folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
        except subprocess.TimeoutExpired as fault:
            return [], [Finding(name, f"does not end: {_last_line(fault.stdout)}")]
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    findings = [
        Finding(f"{name}, {result['kind']}: {result['name']}", wrong)
        for result in results
        for wrong in result["wrong"]
    ]
    if done.returncode != 0:
        tail = " | ".join(done.stderr.strip().splitlines()[-6:])
        findings.append(Finding(name, f"status {done.returncode}: {tail}"))
    return results, findings


def _last_line(text: str | bytes | None) -> str:
    text = text.decode() if isinstance(text, bytes) else text or ""
    return text.strip().splitlines()[-1] if text.strip() else "nothing said"


def _cell(results: list[dict[str, Any]], kind: str) -> str:
    counts = Counter(result["outcome"] for result in results if result["kind"] == kind)
    return " / ".join(str(counts[outcome]) for outcome in ("refused", "same", "changed"))


def _memory(results: list[dict[str, Any]]) -> str:
    most = max((result["grown"] - 2 * result["size"] for result in results), default=0)
    return f"{max(most, 0) >> 20} MiB"
