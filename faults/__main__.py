"""Every fault, section by section; the status is 1 if anything is wrong.

`python -m faults [--seed N] [--write docs/faults.md] [SECTION ...]`
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks._report import write_part

SECTIONS = ("damage", "storage", "divergence", "kills")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    given = parser.parse_args()
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(SECTIONS)}")
    wrong = 0
    for name in given.sections or SECTIONS:
        began = time.monotonic()
        section = importlib.import_module(f"faults.{name}").check(given.seed)
        print(f"## {name}\n\n{section}\n\n{time.monotonic() - began:.0f} s\n", flush=True)
        if given.write:
            write_part(given.write, f"faults {name}", str(section))
        wrong += len(section.findings)
    print(f"{wrong} things are wrong" if wrong else "Nothing is wrong.")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
