"""Writer of InsightFace's training pack: train.rec, train.idx, property."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from stages.datasets._rec import Writer, pack

SIDE = 112  # `property` names the side of aligned faces, whatever the images' own


def write_training_pack(folder: Path, labels: Sequence[int], images: Iterable[bytes]) -> None:
    """Images are records 1..n; records n+1.. tell each person's range.

    Record 0 has labels [n + 1, n + 1 + people], as InsightFace's packs have it.

    Args:
        folder: created if need be.
        labels: person of each image, 0, 1, .. in rising order.
        images: as many encoded images; they are read one by one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = np.flatnonzero(np.diff(labels, prepend=-1))
    people, end = len(first), len(labels) + 1
    bounds = [*(int(row) + 1 for row in first), end]
    with Writer(folder / "train.rec", folder / "train.idx") as writer:
        writer.write(0, pack(2, [end, end + people], 0, 0, b""))
        for key, (label, image) in enumerate(zip(labels, images, strict=True), start=1):
            writer.write(key, pack(0, int(label), key, 0, image))
        for person in range(people):
            key = end + person
            writer.write(key, pack(2, bounds[person : person + 2], key, 0, b""))
    (folder / "property").write_text(f"{people},{SIDE},{SIDE}\n")
