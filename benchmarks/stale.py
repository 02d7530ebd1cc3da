"""Parts of documents whose measurements are older than the code: `python -m benchmarks.stale`.

The status is 1 if there are any. `make test` shows the same list at its end, and does not fail.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks._stamp import Stamp, code_of, digest
from stages.check.code import ROOT

PARTS = {  # of documents, and the command that measures each anew
    "docs/performance.md": {
        "benchmarks": "make bench",
        "benchmarks.full_size": "make full-size",
    },
    "docs/faults.md": {
        "faults": "make faults",
        **{
            f"faults {section}": f"python -m faults {section} --write docs/faults.md"
            for section in ("damage", "storage", "divergence", "kills")
        },
    },
}
MARKED = r"<!-- begin: python -m {} -->\n(.*?)<!-- end -->"


def stamp_of(document: str, part: str, root: Path = ROOT) -> Stamp:
    """What a part says it was measured with. Raise ValueError if it does not say."""
    found = re.search(MARKED.format(re.escape(part)), (root / document).read_text(), re.DOTALL)
    if not found:
        raise ValueError(f"{document} has no part of python -m {part}")
    return Stamp.read(found[1])


def lines() -> Iterator[str]:
    """A line per part that is older than its code, or does not say: what to run."""
    for document, parts in PARTS.items():
        for part, command in parts.items():
            try:
                stamp = stamp_of(document, part)
            except (OSError, ValueError) as fault:
                yield f"{document}, {part}: {fault}; measure again: {command}"
                continue
            now = {name: digest(files) for name, files in code_of(part).items()}
            changed = [name for name in now if now[name] != stamp.code.get(name)]
            if changed:
                what = f"{', '.join(changed)} changed since commit {stamp.commit}"
                yield f"{document}, {part}: {what}; measure again: {command}"


def main() -> int:
    found = list(lines())
    print("\n".join(found) or "Every measurement is of this code.")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
