"""The protocol lists of an image set (docs/architecture.md, Image sets)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.errors import InputError

Table = dict[str, np.ndarray]
REMEDY = "mend the lists of the data set, and unpack it again"


@dataclass(frozen=True)
class Tables:
    """Lists by name, each a dict of equally long columns.

    Attributes:
        folder: where their files are.
        lists: those that the set has.
    """

    folder: Path
    lists: dict[str, Table]

    def __contains__(self, name: str) -> bool:
        return name in self.lists

    def __getitem__(self, name: str) -> Table:
        """The list `name`. Raise InputError if the set has none."""
        if name not in self.lists:
            raise InputError(
                self.file(name),
                "this set has no such list, and the protocol needs it",
                "choose another protocol or data set for the benchmark",
            )
        return self.lists[name]

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def error(
        self, name: str, problem: str, record: int | None = None, remedy: str = REMEDY
    ) -> InputError:
        """The error to raise about the list `name`."""
        return InputError(self.file(name), problem, remedy, record)
