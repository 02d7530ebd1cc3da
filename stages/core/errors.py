"""Errors the user can fix: bad input (names file, record, remedy) and diverged training."""

from __future__ import annotations

import os

LONGEST = 500  # characters of a problem


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
        self.problem = _brief(problem)
        self.remedy = remedy
        self.record = _brief(record) if isinstance(record, str) else record
        where = _brief(self.file)
        if record is not None:
            where += f": {_named(self.record)}"
        super().__init__(f"{where}: {self.problem}. Remedy: {remedy}.")


class DivergedError(RuntimeError):
    """Loss or gradient is no longer finite; the last checkpoint is from before.

    Args:
        name: of what is trained.
        step: number of steps done before, over all epochs.
        where: names of the scalars or tensors that are not finite.
    """

    def __init__(self, name: str, step: int, where: list[str]) -> None:
        self.step, self.where = step, where
        super().__init__(f"{name}: not finite at step {step}: {', '.join(where)}")

    REMEDY = "lower `lr` or lengthen the warm-up, and see that what it starts from was trained"


def _brief(text: str) -> str:
    """One line of a bearable length: libraries quote a damaged file at length."""
    text = " ".join(text.splitlines())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} .."


def _named(record: str | int) -> str:
    return f"record {record}" if isinstance(record, int) else record
