"""Which code a generated part of a document was measured with: a commit, and digests of the code.

The commit is for the reader. The digests decide whether the code has changed since: they need no
repository, and survive a rebase.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from stages.check.code import ROOT, closure, imports

UNKNOWN = "unknown"  # commit of code outside a repository
DIGITS = 12  # of a digest
MEASURING = ("benchmarks/_measure.py",)  # what all comparisons share
NO_COMPARISON = {"full_size", "stale"}  # modules of benchmarks/ outside the table of comparisons
RUN_BY_NAME = {  # code that a module of benchmarks/ runs without importing it
    "pipeline": ("stages/**/*.py",),
    "full_size": ("stages/core/*.py", "stages/datasets/*.py", "stages/unpack/*.py",
                  "stages/align/*.py", "stages/extract/*.py", "stages/networks/*.py"),
    "extraction": ("stages/networks/*.py",),
}  # fmt: skip
FAULTS = {"stages": ("stages/**/*.py",), "faults": ("faults/**/*.py",)}
SAID = re.compile(
    rf"Measured at commit (?P<commit>[0-9a-f]{{7,40}}|{UNKNOWN})"
    r"(?P<changed>, with changes not committed)?\.\n"
    rf"<!-- code: (?P<code>\S+=[0-9a-f]{{{DIGITS}}}(?: \S+=[0-9a-f]{{{DIGITS}}})*) -->"
)


@dataclass(frozen=True)
class Stamp:
    """State of the code behind a part of a document.

    Attributes:
        commit: the last one that touched this code.
        changed: whether there were changes that no commit has.
        code: digests of the code by name.
    """

    commit: str
    changed: bool
    code: dict[str, str]

    def __str__(self) -> str:
        changed = ", with changes not committed" if self.changed else ""
        code = " ".join(f"{name}={digest}" for name, digest in self.code.items())
        return f"Measured at commit {self.commit}{changed}.\n<!-- code: {code} -->"

    def of(self, names: Iterable[str]) -> Stamp:
        """The same of some of the code alone."""
        code = {name: self.code[name] for name in names if name in self.code}
        return replace(self, code=code)

    @classmethod
    def now(cls, part: str) -> Stamp:
        """Of what `python -m part` measures, as it is now."""
        code = code_of(part)
        commit, changed = _commit(sorted(set().union(*code.values())))
        return cls(commit, changed, {name: digest(files) for name, files in code.items()})

    @classmethod
    def read(cls, text: str) -> Stamp:
        """The stamp in a part of a document. Raise ValueError if there is none."""
        found = SAID.search(text)
        if not found:
            raise ValueError("no commit and digests of the code that was measured")
        code = dict(entry.split("=") for entry in found["code"].split())
        return cls(found["commit"], bool(found["changed"]), code)


def comparisons() -> list[str]:
    """Modules of benchmarks/ whose rows are in the table of comparisons."""
    names = {file.stem for file in (ROOT / "benchmarks").glob("*.py") if file.stem[0] != "_"}
    return sorted(names - NO_COMPARISON)


@cache
def code_of(part: str) -> dict[str, list[Path]]:
    """Files, relative to the root, of the code that a part measures, by name.

    A part of the faults has the names in FAULTS; the table of comparisons, the names of its
    modules; any other part, its own module's.
    """
    if part.split()[0] == "faults":
        return {name: _matching(patterns) for name, patterns in FAULTS.items()}
    names = comparisons() if part == "benchmarks" else [part.removeprefix("benchmarks.")]
    return {name: _run_by(name) for name in names}


def digest(files: Iterable[Path], root: Path = ROOT) -> str:
    """Of the names and bytes of files, given relative to `root`."""
    whole = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256((root / file).read_bytes()).hexdigest()
        whole.update(f"{content}  {file.as_posix()}\n".encode())
    return whole.hexdigest()[:DIGITS]


def _run_by(name: str) -> list[Path]:
    """The module `name` of benchmarks/, what it imports, and what it runs by name."""
    own = f"benchmarks/{name}.py"
    imported = closure(*imports(ROOT / own))
    return sorted({*_matching((own, *MEASURING, *RUN_BY_NAME.get(name, ()))), *map(Path, imported)})


def _matching(patterns: Iterable[str]) -> list[Path]:
    return sorted({f.relative_to(ROOT) for pattern in patterns for f in ROOT.glob(pattern)})


def _commit(files: list[Path]) -> tuple[str, bool]:
    """The last commit that touched the files, and whether they have changed since."""
    names = [file.as_posix() for file in files]
    last = _git("log", "-1", "--format=%h", "--abbrev=12", "--", *names)
    if not last:
        return UNKNOWN, False
    return last, bool(_git("status", "--porcelain", "--", *names))


def _git(*arguments: str) -> str:
    """What git says; nothing where there is no git or no repository."""
    command = ["git", "--literal-pathspecs", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
