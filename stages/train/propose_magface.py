"""Settings to finetune an existing model with MagFace, proposed from its magnitudes.

MagFace's margin and penalty act between l_a and u_a alone, so its authors advise to look at the
lengths of a model's embeddings first (README of the published code).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.params import read_params, section
from stages.core.weights import read_header
from stages.losses.magface import Params, propose

FEATURES, MODELS = Path("data/features"), Path("models")
TRAINED, COPY = "train", "to_finetune"  # in models/
PROPOSED = ("l_a", "u_a", "lambda_g")


def main(image_set: str, model: str) -> None:
    """Propose l_a, u_a and lambda_g from features of `model` (e.g. trunk) on `image_set`."""
    file = FEATURES / image_set / model / "norm.npy"
    try:
        norms = np.load(file)
    except (OSError, ValueError) as fault:
        remedy = "choose one of `test_sets` and a folder of its features, such as trunk; dvc repro"
        raise InputError(file, f"cannot be read ({fault})", remedy) from None
    given = read_params()
    present = given["losses"]["magface"] or {}
    params = section("losses.magface", Params, {"losses": {"magface": present}})
    try:
        proposed = propose(norms, params)
    except ValueError as fault:
        raise InputError(file, str(fault), "choose another model or image set") from None
    print(f"{len(norms)} images, magnitudes {norms.min():.4g} to {norms.max():.4g}; try")
    trunk = given["trunk"]
    header = read_header(MODELS / trunk / "weights.safetensors")
    if trunk == TRAINED:  # the stage train overwrites it
        trunk = COPY
        copy = MODELS / COPY
        print(f"cp -r {MODELS / TRAINED} {copy}")
        print(f"dvc add {copy}  # git ignores the copy then, and queued experiments find it")
        print(f"git add {copy}.dvc {MODELS}/.gitignore")
    flags = [f"losses.magface.{name}={getattr(proposed, name):g}" for name in PROPOSED]
    network = ",".join(f"{key}:{json.dumps(value)}" for key, value in header["network"].items())
    fed = [f"train.{name}={header['contract'][name]}" for name in ("colour", "mean", "scale")]
    chosen = [f"trunk={TRAINED}", f"train.initial={trunk}", "'~backbone'"]
    chosen += [f"'+backbone={{{network}}}'".replace('"', ""), *fed]
    print("dvc exp run -S loss=magface", *(f"-S {setting}" for setting in [*flags, *chosen]))


if __name__ == "__main__":
    start(main, "image_set", "model")
