"""Feature arrays of one image set, memory-mapped, and which of them each row compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.params import choose
from stages.evaluate.params import Params
from stages.protocols._rows import Rows

FULL_SIZE = 112  # pixels; the trunk's own
REMEDY = "run the stage extract of this model"


class Features:
    """Arrays of the models of one set: `data/features/<set>/<model>/<name>.npy`.

    Args:
        folder: the set's features.
        images: rows of its aligned index.
        templates: its templates; 0 for a set without.
    """

    def __init__(self, folder: Path, images: int, templates: int) -> None:
        self.folder = folder
        self.images = images
        self.templates = templates
        self.arrays: dict[Path, np.ndarray] = {}

    def path(self, model: str, name: str) -> Path:
        return self.folder / model / f"{name}.npy"

    def has(self, model: str, name: str) -> bool:
        return self.path(model, name).is_file()

    def read(self, model: str, name: str) -> np.ndarray:
        """Raise InputError if the array is missing, unreadable, of other length or not finite."""
        path = self.path(model, name)
        if path in self.arrays:
            return self.arrays[path]
        try:
            array = np.load(path, mmap_mode="r")
        except FileNotFoundError:
            raise InputError(path, "file not found", REMEDY) from None
        except ValueError as fault:
            raise InputError(path, f"not a NumPy array ({fault})", REMEDY) from None
        expected = self.templates if name.startswith("descriptor_") else self.images
        if len(array) != expected:
            raise InputError(path, f"{len(array)} rows, not {expected}", REMEDY)
        if not np.isfinite(np.sum(array, dtype=np.float64)):
            raise InputError(path, "holds values that are not finite", "train the model anew")
        self.arrays[path] = array
        return array


def choose_rows(
    features: Features, settings: Params, resolutions: list[int], heads: list[str]
) -> Rows:
    """The rows of the tables, from the lists in params.yaml."""
    known = [FULL_SIZE, *resolutions]
    pairs = [[int(side) for side in row.split("&")] for row in settings.settings]
    pairs = [pair for pair in pairs if set(pair) <= set(known)]
    branch = {r: f"branches/branch_{r}" for r in resolutions}
    upsampled = {r: f"branches/upsampled_{r}" for r in resolutions}
    trunk = {FULL_SIZE: "trunk"}
    rows = {f"{a}&{b}": ((trunk | branch)[a], (trunk | branch)[b]) for a, b in pairs}
    if "upsampled" in settings.baselines:
        rows |= {
            f"upsampled {a}&{b}": ((trunk | upsampled)[a], (trunk | upsampled)[b])
            for a, b in pairs
            if (a, b) != (FULL_SIZE, FULL_SIZE)
        }
    if "pixels" in settings.baselines:
        rows["pixels"] = ("pixels", "pixels")
    models = {head: f"head_{head}" for head in heads}
    return Rows(
        read=features.read,
        settings=rows,
        sizes=trunk | branch,
        upsampled=upsampled,
        descriptors=_descriptors(features, settings.descriptors, models),
        heads=_named("kappa", {h: m for h, m in models.items() if features.has(m, "kappa")}),
    )


def _descriptors(
    features: Features, names: list[str], heads: dict[str, str]
) -> dict[str, tuple[str, str]]:
    rows: dict[str, tuple[str, str]] = {}
    for name in names:
        choose("descriptors", name, "evaluate.descriptors")
        if features.has("trunk", f"descriptor_{name}"):
            rows[name] = ("trunk", name)
            continue
        owners = {h: m for h, m in heads.items() if features.has(m, f"descriptor_{name}")}
        rows |= {row: (model, name) for row, model in _named(name, owners).items()}
    return rows


def _named(name: str, heads: dict[str, str]) -> dict[str, str]:
    """Rows of what several heads may give: the first head's is `name`, others' `name head`."""
    return {
        name if k == 0 else f"{name} {head}": model for k, (head, model) in enumerate(heads.items())
    }
