"""Every speed comparison, each file in a process of its own, in one table.

`python -m benchmarks [--write docs/performance.md] [NAME ...]`

A file that fails leaves a row that says so, and the status is 1 in the end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

from tabulate import tabulate

from benchmarks._report import machine, write_part
from benchmarks._stamp import Stamp, comparisons

HEADERS = ["comparison", "ours", "theirs", "ratio", "target", "best known", "of limit", "", "note"]
PART = "benchmarks"  # of the document


def main(names: list[str], document: Path | None) -> bool:
    """Run, print, and bring the document up to date; whether all succeeded."""
    table, short, failed, start = [], [], False, time.monotonic()
    stamp = Stamp.now(PART).of(names or comparisons())
    for name in names or comparisons():
        print(f"{name} ..", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks", "--rows", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            failed = True
            print(done.stderr, file=sys.stderr)
            last = (done.stderr.splitlines() or [f"status {done.returncode}"])[-1]
            table.append([name, *[""] * 6, "failed", last])
            continue
        rows = json.loads(done.stdout.splitlines()[-1])
        table += [_cells(row) for row in rows]
        short += [row for row in rows if _is_short(row)]
    print(tabulate(table, HEADERS, tablefmt="simple", disable_numparse=True))
    causes = "\n".join(f"- {row['name']}: {row['cause'] or 'not known.'}" for row in short)
    print(f"\nShort:\n{causes or '- nothing'}")
    if document:
        minutes = (time.monotonic() - start) / 60
        parts = [
            f"{machine()} All comparisons together took {minutes:.1f} minutes.",
            tabulate(table, HEADERS, tablefmt="github", disable_numparse=True),
            f"What is short, and why:\n\n{causes or '- nothing'}",
        ]
        write_part(document, PART, "\n\n".join(parts), stamp)
    return not failed


def _is_short(row: dict) -> bool:
    return row["ratio"] < row["target"]


def _cells(row: dict) -> list[str]:
    return [
        row["name"],
        f"{row['ours_s'] * 1e3:.4g} ms",
        f"{row['theirs_s'] * 1e3:.4g} ms",
        f"{row['ratio']:.2f}x",
        f"{row['target']:.3g}x",
        f"{row['best']:g}x" if row["best"] is not None else "",
        f"{row['limit_share']:.0%}" if row["limit_share"] is not None else "",
        "short" if _is_short(row) else "",
        row["note"],
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    if given.rows:
        module = importlib.import_module(f"benchmarks.{given.rows}")
        print(json.dumps([row.as_dict() for row in module.rows()]))
    else:
        sys.exit(not main(given.names, given.write))
