"""The protocol lists of an image set (docs/architecture.md, Image sets)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stages.core.errors import InputError

Table = dict[str, np.ndarray]
REMEDY = "mend the lists of the data set, and unpack it again"
OTHER = "choose another protocol or data set for the benchmark"


@dataclass(frozen=True)
class Tables:
    """Lists by name, each a dict of equally long columns.

    Attributes:
        folder: where their files are.
        lists: those that the set has.
        absent: those that it might have and has not: the vendor's file that was not found, and how
            to come by it.
        source: the vendor's file or folder that errors name, where the lists are not in `folder`.
    """

    folder: Path
    lists: dict[str, Table]
    absent: dict[str, tuple[str, str]] = field(default_factory=dict)
    source: Path | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.lists

    def __getitem__(self, name: str) -> Table:
        """The list `name`. Raise InputError if the set has none."""
        if name in self.absent:
            file, origin = self.absent[name]
            problem = f"file not found, and the protocol needs it (the list {name})"
            raise InputError(file, problem, f"{OTHER}, or {origin}")
        if name not in self.lists:
            problem = "this set has no such list, and the protocol needs it"
            raise self.error(name, problem, remedy=OTHER)
        return self.lists[name]

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def error(
        self, name: str, problem: str, record: int | None = None, remedy: str = REMEDY
    ) -> InputError:
        """The error to raise about the list `name`."""
        if self.source is not None:
            return InputError(self.source, f"list `{name}`: {problem}", remedy, record)
        return InputError(self.file(name), problem, remedy, record)
