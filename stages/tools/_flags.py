"""Changes of parameters as `-S` of `dvc exp run`, in words that the shell leaves as they are.

`$(..)` without quotes is split at blanks, and quotes within it stay in the words: these are what
Hydra's grammar, which DVC reads the words by, needs around text that is not a plain name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from stages.core.differences import ABSENT, Change, flow
from stages.core.errors import InputError

PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
WORDS = {"true", "false", "null", "nan", "inf"}  # values of other kinds
SPECIAL = re.compile(r"[\s*?$`\\]")  # split or replaced by the shell, or by Hydra


def flags(changes: Iterable[Change], name: str) -> str:
    """One line: `-S KEY=VALUE` for what changes, `+KEY=VALUE` what is new, `~KEY` what goes.

    Raise InputError if a value cannot be written so.
    """
    return " ".join(f"-S {_override(change, name)}" for change in changes)


def _override(change: Change, name: str) -> str:
    if change.new is ABSENT:
        return f"~{change.key}"
    text = flow(change.new, gap="", text=_quoted)
    if SPECIAL.search(text):
        problem = "the value holds a blank or a sign that the shell or Hydra would replace"
        remedy = f"write params.yaml instead: python -m stages.tools.recipe {name}"
        raise InputError("--flags", problem, remedy, change.key)
    return f"{'+' if change.old is ABSENT else ''}{change.key}={text}"


def _quoted(value: Any) -> str:
    """A number or text as Hydra's grammar has it."""
    if isinstance(value, str) and (not PLAIN.fullmatch(value) or value.lower() in WORDS):
        return "'" + value.replace("'", "\\'") + "'"
    return str(value)
