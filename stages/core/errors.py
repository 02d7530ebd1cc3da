"""The one error a person can mend: it names the file, the record and the remedy."""

from __future__ import annotations

import os


class InputError(Exception):
    """Input from outside that cannot be used.

    Args:
        file: the file or folder at fault.
        problem: what is wrong with it.
        remedy: what the person can do about it.
        record: which record, line or key of the file; None where the file as a whole is meant.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        problem: str,
        remedy: str,
        record: str | int | None = None,
    ) -> None:
        self.file = os.fspath(file)
        self.problem = problem
        self.remedy = remedy
        self.record = record
        where = self.file if record is None else f"{self.file}: {_named(record)}"
        super().__init__(f"{where}: {problem}. Remedy: {remedy}.")


def _named(record: str | int) -> str:
    return f"record {record}" if isinstance(record, int) else record
