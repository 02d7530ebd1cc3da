"""Every fault, section by section; the status is 1 if anything is wrong.

`python -m faults [--seed N] [SECTION ...]`
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

SECTIONS = ("damage", "storage", "divergence", "kills")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    wrong = 0
    for name in given.sections or SECTIONS:
        began = time.monotonic()
        section = importlib.import_module(f"faults.{name}").check(given.seed)
        print(f"{section}\n\n{time.monotonic() - began:.0f} s\n", flush=True)
        wrong += len(section.findings)
    print(f"{wrong} things are wrong" if wrong else "Nothing is wrong.")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
