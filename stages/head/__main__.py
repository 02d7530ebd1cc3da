"""Trunk -> a head on its last map, trained while trunk and class centres stay as they are.

SCF (Li et al., CVPR 2021): the head says how concentrated the distribution is about the embedding's
direction; degraded copies among the training images are what it learns doubt from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from stages.core.checkpoints import checkpoints
from stages.core.entry import start
from stages.core.files import atomic_folder
from stages.core.fit import fit
from stages.core.params import choices, load, parse, read_params
from stages.core.seeding import derive, prepare
from stages.core.weights import load_weights, save_weights
from stages.datasets._augment import augment, degrade, draws
from stages.datasets._training import TrainingImages
from stages.head.params import Params
from stages.networks._files import fingerprint, load_trunk

CENTRES = "classifier.safetensors"
CHOICES = ("dataset", "trunk", "seed", "threads", "device")


def main(name: str) -> None:
    """Train the head `name` (a file of stages/heads) on the frozen trunk."""
    params = read_params()
    seed = params["seed"]
    device = prepare(seed, params["threads"], params["device"])
    shared = {key: value for key, value in params["head"].items() if key not in choices("heads")}
    recipe = parse(Params, shared, "head")
    heads, settings = load("heads", name, params["head"].get(name), f"head.{name}")
    source = Path("models") / params["trunk"]
    trunk = load_trunk(source)
    frozen = trunk.network.to(device, memory_format=torch.channels_last)
    images = TrainingImages(Path("data/align") / params["dataset"])
    tensors, _ = load_weights(source / CENTRES)
    centres = F.normalize(tensors["centres"]).to(device)
    torch.manual_seed(derive(seed, "head", name))
    shape = {"body_size": frozen.body_size, "embedding": trunk.params.embedding}
    head = heads.build(settings, **shape).to(device).train()

    def step(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        uniform = draws(seed, f"head {name}", epoch, rows)
        pixels, labels = images.batch(rows)
        pixels = degrade(pixels, uniform, recipe.augment, recipe.resampler)
        batch = trunk.contract.normalise(torch.from_numpy(pixels).to(device))
        batch = augment(batch, uniform, recipe.augment)
        with torch.no_grad():
            body = frozen.body(batch.contiguous(memory_format=torch.channels_last))
            mu = F.normalize(frozen.embed(body))
        log_kappa = head(body.flatten(1))
        own = centres[torch.from_numpy(labels).to(device)]
        return {
            "loss": heads.loss(mu, log_kappa, own, settings).mean(),
            "log_kappa": log_kappa.mean(),
        }

    used = {key: params[key] for key in CHOICES}
    used |= {"recipe": recipe.model_dump(), name: settings.model_dump()}
    inputs = [images.index_file, source / "weights.safetensors", source / CENTRES]
    with checkpoints(f"head/{name}", used, inputs) as saved:
        log = Path("metrics/head") / name
        fit(f"head/{name}", {"head": head}, recipe, len(images), step, saved, log, seed)
        with atomic_folder(Path("models/head") / name) as folder:
            header = {"head": name, "settings": settings.model_dump(), "shape": shape}
            header |= {"contract": trunk.contract.as_dict(), "trunk": fingerprint(source)}
            save_weights(folder / "weights.safetensors", head.state_dict(), header)


if __name__ == "__main__":
    start(main, "name")
