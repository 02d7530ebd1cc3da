"""Quality of each image as the models see it: norms and kappas, best and worst faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.report.results import NATIVE, UPSAMPLED

FEATURES = Path("data/features")
CONFIDENCES = ("kappa", "precision")  # arrays of a head, one number an image


@dataclass(frozen=True)
class Quality:
    """One quality of one image set, by the resolution of the image.

    Attributes:
        name: model and what is measured, for a person.
        key: the same as a part of a file name.
        values: side in pixels -> float32 [n], rows of the aligned index.
        low: it belongs to the branches, so its low resolutions are the ones to look at.
    """

    name: str
    key: str
    values: dict[int, np.ndarray]
    low: bool = False

    def quartiles(self) -> dict[int, tuple[float, float, float]]:
        """Side -> first quartile, median, third quartile of the finite values."""
        return {
            side: tuple(float(q) for q in np.quantile(v[np.isfinite(v)], [0.25, 0.5, 0.75]))
            for side, v in self.values.items()
            if np.isfinite(v).any()
        }


def read_qualities(
    image_set: str, resolutions: Iterable[int], heads: Iterable[str]
) -> list[Quality]:
    """The trunk's norm, the branches' norms and each head's confidence for one image set.

    A head that gives none (a set head) is left out. Raise InputError if the trunk's or a
    branch's norm is missing.
    """
    folder, low = FEATURES / image_set, list(resolutions)
    trunk = {NATIVE: folder / "trunk/norm.npy"}
    upsampled = {r: folder / f"trunk/{UPSAMPLED}_{r}/norm.npy" for r in low}
    branches = {r: folder / f"trunk/branch_{r}/norm.npy" for r in low}
    qualities = [Quality("norm, trunk", "norm_trunk", _load({**trunk, **upsampled}))]
    if low:
        qualities.append(
            Quality("norm, branches", "norm_branch", _load({**trunk, **branches}), True)
        )
    for head, name in product(heads, CONFIDENCES):
        files = {NATIVE: folder / f"heads/{head}/{name}.npy"}
        files |= {r: folder / f"heads/{head}/{name}_{r}.npy" for r in low}
        if files[NATIVE].exists():
            qualities.append(Quality(f"{name}, {head}", f"{name}_{head}", _load(files)))
    return qualities


def _load(files: dict[int, Path]) -> dict[int, np.ndarray]:
    for path in files.values():
        if not path.exists():
            raise InputError(path, "file not found", "run the stage extract of this model")
    return {side: np.load(path) for side, path in files.items()}


def extremes(values: np.ndarray, identity: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` best values, best first, then of the `count` worst, worst last.

    An image that occurs several times (equal `identity`, as in verification packs) counts once;
    equal values keep their order. With fewer than 2 * count images both halves shrink alike.
    """
    usable = np.flatnonzero(np.isfinite(values))
    _, first = np.unique(identity[usable], return_index=True)
    rows = usable[np.sort(first)]
    order = rows[np.argsort(-values[rows], kind="stable")]
    half = min(count, len(order) // 2)
    return np.concatenate([order[:half], order[len(order) - half :]])
