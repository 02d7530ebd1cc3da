"""People as a verification pack: ten folds of two people each."""

from __future__ import annotations

import pickle
from itertools import combinations, product
from pathlib import Path

import numpy as np

from stages.fetch.encode import jpeg
from stages.fetch.params import Params

PEOPLE_A_FOLD = 2
PROTOCOL = 4  # of pickle; named so that the bytes do not depend on the version of Python


def write_pack(path: Path, people: dict[int, list[np.ndarray]], settings: Params) -> None:
    """A pickle of (images, same): images 2i and 2i + 1 are pair i.

    Each fold has all genuine pairs of its two people (90) and as many impostor pairs between them,
    drawn from the 100 that there are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([settings.seed, 1])
    encoded = {
        person: [jpeg(image, settings.quality) for image in photographs]
        for person, photographs in people.items()
    }
    images: list[bytes] = []
    same: list[bool] = []
    persons = list(encoded)
    for at in range(0, len(persons), PEOPLE_A_FOLD):
        first, second = (encoded[person] for person in persons[at : at + PEOPLE_A_FOLD])
        genuine = [*combinations(first, 2), *combinations(second, 2)]
        impostor = list(product(first, second))
        drawn = sorted(rng.choice(len(impostor), len(genuine), replace=False))
        for pair in genuine:
            images.extend(pair)
            same.append(True)
        for number in drawn:
            images.extend(impostor[number])
            same.append(False)
    path.write_bytes(pickle.dumps((images, same), protocol=PROTOCOL))
