"""What evaluate found of training images among test images, in the words of the report.

An entry is one of `overlap` in the provenance of a benchmark (stages/evaluate/overlap.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MARK = "†"


@dataclass(frozen=True)
class Doubt:
    """Why the numbers of a benchmark may not be those of unseen faces.

    Attributes:
        text: one sentence without its full stop.
        known: training images or people are among the test set's; otherwise nobody can tell.
    """

    text: str
    known: bool

    @property
    def mark(self) -> str:
        """What stands beside a number: MARK where it is known to rest on training images."""
        return MARK if self.known else ""


def counts(entry: dict[str, Any]) -> str:
    """One entry in full."""
    if reason := entry.get("unknown"):
        return f"unknown: {reason}"
    text = (
        f"{entry['shared']} of {entry['images']} images "
        f"({entry['raw']} equal files, {entry['crops']} equal crops)"
    )
    if entry["people"] is None:
        return f"{text}; people are not known by name"
    named = f": {', '.join(entry['names'])}" if entry["names"] else ""
    return f"{text}; {entry['same_name']} of {entry['people']} people by name{named}"


def doubt(entries: Iterable[dict[str, Any]]) -> Doubt | None:
    """What a reader must know of a benchmark; None where its test set is known to be unseen."""
    known, unknown = [], []
    for entry in entries:
        learnt = entry["training_set"].partition(", sha256")[0]
        if "unknown" in entry:
            unknown.append(learnt)
            continue
        if entry["shared"]:
            known.append(f"{entry['shared']} of {entry['images']} test images are in {learnt}")
        if entry["same_name"]:
            people = f"{entry['same_name']} of {entry['people']} test people"
            known.append(f"{people} are in {learnt} by name")
    if unknown:
        known.append(f"unknown whether test images are training images ({', '.join(unknown)})")
    text = "; ".join(known)
    return Doubt(text[:1].upper() + text[1:], len(known) > bool(unknown)) if text else None


def doubts(
    found: Mapping[str, Iterable[dict[str, Any]]], families: Mapping[str, Iterable[str]]
) -> dict[str, Doubt]:
    """The doubts of benchmarks, and of means over several; nothing of what has none.

    A mean has the first doubt of its members, a known one before others.

    Args:
        found: entries of each benchmark.
        families: benchmarks of each mean.
    """
    told = {name: said for name, entries in found.items() if (said := doubt(entries))}
    for family, members in families.items():
        theirs = [name for name in members if name in told]
        if theirs:
            first = min(theirs, key=lambda name: not told[name].known)
            told[family] = Doubt(f"{first}: {told[first].text}", told[first].known)
    return told
