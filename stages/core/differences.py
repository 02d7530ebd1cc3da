"""How two nested dicts of parameters differ, by dotted key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final


class _Absent:
    """Stands for the value of a key that is not there."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Change:
    """One key with two values.

    Attributes:
        path: parts of the dotted key.
        old, new: values, or ABSENT. At most one of them is a mapping that holds something.
    """

    path: tuple[str, ...]
    old: Any
    new: Any

    @property
    def key(self) -> str:
        """The dotted key."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{self.key}: {flow(self.old)} -> {flow(self.new)}"


def differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """The keys in which two mappings differ, each as deep as the mappings go; those of `old` come
    first, in its order."""
    for key in [*old, *(key for key in new if key not in old)]:
        one, other, here = old.get(key, ABSENT), new.get(key, ABSENT), (*path, key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differences(one, other, here)
        elif one != other or isinstance(one, bool) != isinstance(other, bool):
            yield Change(here, one, other)


def flow(value: Any, gap: str = " ", text: Callable[[Any], str] = str) -> str:
    """A value on one line, as YAML writes it within braces.

    Args:
        gap: what follows a comma or a colon.
        text: writes what is neither a mapping, a list, a boolean nor null.
    """
    if isinstance(value, dict):
        entries = (f"{key}:{gap}{flow(one, gap, text)}" for key, one in value.items())
        return "{" + f",{gap}".join(entries) + "}"
    if isinstance(value, list):
        return "[" + f",{gap}".join(flow(one, gap, text) for one in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return text(value)
