"""Every speed comparison, each file in a process of its own, in one table.

`python -m benchmarks [NAME ...]`
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

from tabulate import tabulate

HERE = Path(__file__).parent
HEADERS = ["comparison", "ours", "theirs", "ratio", "target", "best known", "of limit", "", "note"]


def main(names: list[str]) -> None:
    table = []
    for name in names or available():
        print(f"{name} ..", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks", "--rows", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        table += [_cells(row) for row in json.loads(done.stdout.splitlines()[-1])]
    print(tabulate(table, HEADERS, tablefmt="simple", disable_numparse=True))


def available() -> list[str]:
    return sorted(file.stem for file in HERE.glob("*.py") if not file.stem.startswith("_"))


def _cells(row: dict) -> list[str]:
    return [
        row["name"],
        f"{row['ours_s'] * 1e3:.4g} ms",
        f"{row['theirs_s'] * 1e3:.4g} ms",
        f"{row['ratio']:.2f}x",
        f"{row['target']:g}x",
        f"{row['best']:g}x" if row["best"] is not None else "",
        f"{row['limit_share']:.0%}" if row["limit_share"] is not None else "",
        "short" if row["ratio"] < row["target"] else "",
        row["note"],
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rows"]:
        module = importlib.import_module(f"benchmarks.{sys.argv[2]}")
        rows = [row if isinstance(row, dict) else row.as_dict() for row in module.rows()]
        print(json.dumps(rows))
    else:
        main(sys.argv[1:])
