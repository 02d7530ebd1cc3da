"""What the stage finds odd about an image set: said, or the end of the stage."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import InputError

ENOUGH = 10  # images; in a smaller set one odd face may be the median, and nothing is refused


class Doubt(NamedTuple):
    """A problem, what the user can do about it, and whether it ends the stage."""

    problem: str
    remedy: str
    refuse: bool = False


def settle(doubts: Iterable[Doubt], root: Path, image_set: str, images: int) -> None:
    """Print doubts one by one.

    Args:
        root: the folder or file to name, as `datasets` has it.
        images: number of images that the doubts rest on.

    Raises:
        InputError: a doubt refuses the set, and it has at least ENOUGH images.
    """
    for doubt in doubts:
        if doubt.refuse and images >= ENOUGH:
            raise InputError(root, doubt.problem, doubt.remedy)
        print(f"datasets.{image_set}: {doubt.problem}; {doubt.remedy}", file=sys.stderr)
