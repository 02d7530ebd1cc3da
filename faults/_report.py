"""What a section of the faults found, and how it is printed."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate


class Finding(NamedTuple):
    """Something that must not happen: where, and what."""

    where: str
    what: str


@dataclass
class Section:
    """A table, sentences beside it, and what is wrong: nothing, if all is well.

    Attributes:
        cases: number of faults that were tried.
    """

    headers: tuple[str, ...]
    rows: list[tuple] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cases: int = 0

    @contextmanager
    def guard(self, where: str) -> Iterator[None]:
        """An exception in the block becomes a finding, and whatever comes after goes on."""
        try:
            yield
        except Exception as fault:
            self.findings.append(Finding(where, described(fault)))

    def __str__(self) -> str:
        table = tabulate(self.rows, self.headers, tablefmt="github", disable_numparse=True)
        wrong = [f"WRONG {finding.where}: {finding.what}" for finding in self.findings]
        return "\n\n".join([table, *self.notes, *wrong])

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, file: Path) -> Section:
        """Read what `save` wrote."""
        held = json.loads(file.read_text())
        held["findings"] = [Finding(*finding) for finding in held["findings"]]
        return cls(**held)


def described(fault: Exception) -> str:
    """Type and message of an exception in one line, and where it was raised."""
    last = traceback.extract_tb(fault.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    said = " | ".join(str(fault).strip().splitlines()[-6:])
    return f"{type(fault).__name__}: {said}{place}"
