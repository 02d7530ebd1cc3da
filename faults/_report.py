"""What a section of the faults found, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tabulate import tabulate


class Finding(NamedTuple):
    """Something that must not be: where, and what."""

    where: str
    what: str


@dataclass
class Section:
    """A table, sentences beside it, and what is wrong: nothing, if all is well."""

    headers: tuple[str, ...]
    rows: list[tuple] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        table = tabulate(self.rows, self.headers, tablefmt="github", disable_numparse=True)
        wrong = [f"WRONG {finding.where}: {finding.what}" for finding in self.findings]
        return "\n\n".join([table, *self.notes, *wrong])
