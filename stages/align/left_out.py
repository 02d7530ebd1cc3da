"""Which images have no crop, and why: a list to read and counts to watch."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from stages.align.landmarks import REASONS
from stages.core.files import atomic_file


class LeftOut(NamedTuple):
    """An image without a crop: its row in the unpacked index, its name to a person, and why."""

    record: int
    source: str
    reason: str


def write_list(path: Path, left_out: list[LeftOut]) -> None:
    """Write a CSV with a line an image."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LeftOut._fields)
        writer.writerows(left_out)


def write_counts(
    path: Path,
    image_set: str,
    images: int,
    left_out: list[LeftOut],
    measured: dict[str, float],
) -> None:
    """Write how many images there are, how many have no crop, and how many for each reason.

    Args:
        measured: what else is recorded of the set, by name.
    """
    reasons = Counter(image.reason for image in left_out)
    counts = {"images": images, "left_out": len(left_out)}
    counts |= {reason: reasons[reason] for reason in REASONS} | measured
    with atomic_file(path) as scratch:
        scratch.write_text(json.dumps({"align": {image_set: counts}}, indent=2) + "\n")
