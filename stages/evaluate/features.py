"""Feature arrays of one image set, memory-mapped, and which of them each row compares."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import InputError
from stages.core.params import choose
from stages.evaluate.params import Params
from stages.protocols._rows import Likelihood, Rows, Score

FULL_SIZE = 112  # pixels; the trunk's own
REMEDY = "run the stage extract of this model"
OF_TEMPLATES = ("descriptor_", "fused_")  # arrays with a row a template
SMALLEST_CONFIDENCE = 1e-6  # of a template whose images are all lost


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

    def models(self) -> dict[str, dict[str, Any] | None]:
        """What model.json says of each model that was read; None where there is no such file."""
        models = sorted({path.parent for path in self.arrays})
        said = {str(folder.relative_to(self.folder)): folder / "model.json" for folder in models}
        return {
            model: json.loads(file.read_text()) if file.is_file() else None
            for model, file in said.items()
        }

    def origins(self) -> dict[str, Any]:
        """Of each model that was read, what computed its arrays, as far as it is known."""
        return {model: about for model, about in self.models().items() if about is not None}

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
        expected = self.templates if name.startswith(OF_TEMPLATES) else self.images
        if len(array) != expected:
            raise InputError(path, f"{len(array)} rows, not {expected}", REMEDY)
        if not np.isfinite(np.sum(array, dtype=np.float64)):
            raise InputError(path, "holds values that are not finite", "train the model anew")
        self.arrays[path] = array
        return array


def choose_rows(
    features: Features,
    settings: Params,
    resolutions: list[int],
    heads: list[str],
    external: list[str],
) -> Rows:
    """The rows of the tables, from the lists in params.yaml; `external` were computed elsewhere."""
    known = [FULL_SIZE, *resolutions]
    pairs = [[int(side) for side in row.split("&")] for row in settings.settings]
    pairs = [pair for pair in pairs if set(pair) <= set(known)]
    branch = {r: f"trunk/branch_{r}" for r in resolutions}
    upsampled = {r: f"trunk/upsampled_{r}" for r in resolutions}
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
    elsewhere = {f"external {name}": f"external_{name}" for name in external}
    rows |= {row: (model, model) for row, model in elsewhere.items()}
    models = {head: f"heads/{head}" for head in heads}
    confident = [
        (f"{name} {head}", (model, name))
        for name in ("kappa", "precision")
        for head, model in models.items()
        if features.has(model, name)
    ]
    return Rows(
        read=features.read,
        settings=rows,
        sizes=trunk | branch,
        upsampled=upsampled,
        descriptors=_descriptors(features, settings.descriptors, models),
        heads=_shortened(confident),
        likelihoods={
            f"likelihood {head}": _likelihood(features, models[head])
            for head in settings.likelihoods
            if head in models
        },
        external=elsewhere,
    )


def _descriptors(
    features: Features, names: list[str], heads: dict[str, str]
) -> dict[str, tuple[str, str]]:
    rows: list[tuple[str, tuple[str, str]]] = []
    for name in names:
        choose("descriptors", name, "evaluate.descriptors")
        owners = {"": "trunk"} | {f" {head}": model for head, model in heads.items()}
        rows += [
            (f"{name}{head}", (model, name))
            for head, model in owners.items()
            if features.has(model, f"descriptor_{name}")
        ]
    return _shortened(rows)


def _shortened(rows: list[tuple[str, tuple[str, str]]]) -> dict[str, tuple[str, str]]:
    """Rows of what several heads may give: the first head's is `name`, others' `name head`."""
    taken: dict[str, tuple[str, str]] = {}
    for row, owner in rows:
        name = row.split(" ")[0]
        taken[row if name in taken else name] = owner
    return taken


def _likelihood(features: Features, model: str) -> Likelihood:
    """SCF's score for a head that says kappa, PFE's for one that says sigma2.

    Raise InputError if it says neither.
    """
    if features.has(model, "kappa"):
        return Likelihood(model, "kappa", "kappa", partial(_score, "VonMises"))
    if features.has(model, "sigma2"):
        return Likelihood(model, "sigma2", "precision", partial(_score, "Gaussian"))
    remedy = "take the head out of evaluate.likelihoods, or run its extraction"
    raise InputError(features.path(model, "kappa"), "neither kappa nor sigma2 is there", remedy)


def _score(name: str, vectors: np.ndarray, confidence: np.ndarray) -> Score:
    from stages.heads import _scores  # imports torch, which only these rows need

    return getattr(_scores, name)(vectors, np.maximum(confidence, SMALLEST_CONFIDENCE))
