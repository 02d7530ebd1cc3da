"""Trunk -> one branch for images of r pixels (BTNet, arXiv 2310.09563).

The trunk stays as it is, bit for bit: only the branch, from the stem to the first block of the
stage where it joins, is trained, and only the branch is saved.
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
from stages.core.params import load, read_params, section
from stages.core.seeding import prepare
from stages.core.weights import load_weights
from stages.datasets._augment import augment, draws
from stages.datasets._training import TrainingImages
from stages.distill.losses import distillation
from stages.distill.params import Params
from stages.losses._classifier import Classifier
from stages.networks._files import fingerprint, load_trunk, save_network

CENTRES = "classifier.safetensors"
CHOICES = ("dataset", "loss", "classifier", "trunk", "seed", "threads", "device")


def main(resolution: str) -> None:
    """Distil the branch for images of `resolution` pixels from the trunk."""
    side = int(resolution)
    params = read_params()
    seed = params["seed"]
    device = prepare(seed, params["threads"], params["device"])
    settings = section("distill", Params, params)
    source = Path("models") / params["trunk"]
    trunk = load_trunk(source)
    teacher = trunk.network.to(device, memory_format=torch.channels_last)
    branch = trunk.family.build_branch(trunk.params, side)
    branch.load_from_trunk(teacher)
    branch.to(device, memory_format=torch.channels_last).train()
    images = TrainingImages(Path("data/align") / params["dataset"], params["threads"])
    loss = params["loss"]
    margins, margin = load("losses", loss, params["losses"].get(loss), f"losses.{loss}")
    spheres = params["classifier"]["spheres"]
    shape = (trunk.params.embedding, images.classes)
    classifier = _fixed(Classifier(*shape, margins.build(margin), spheres=spheres), source)
    classifier.to(device)

    def step(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        uniform = draws(seed, f"distill {side}", epoch, rows)
        pixels, labels = images.batch(rows, uniform, settings.augment)
        large = trunk.contract.normalise(torch.from_numpy(pixels).to(device))
        large = augment(large, uniform, settings.augment)
        small = F.interpolate(large, (side, side), mode="bilinear", antialias=settings.antialias)
        with torch.no_grad():
            taught = teacher.pyramid(large.contiguous(memory_format=torch.channels_last))
        map_ = branch(small.contiguous(memory_format=torch.channels_last))
        embedding = teacher.resume(map_, branch.depth)
        losses = distillation(map_, embedding, taught, branch.depth)
        result = classifier(embedding, torch.from_numpy(labels).to(device))
        distilled = (
            settings.feature_weight * losses.feature + settings.embedding_weight * losses.embedding
        )
        return {
            "loss": result.total + settings.distillation_weight * distilled,
            "feature": losses.feature,
            "embedding": losses.embedding,
            "cosine": result.cosine.mean(),
        }

    used = {key: params[key] for key in CHOICES}
    used |= {"distill": settings.model_dump(), "margin": margin.model_dump()}
    inputs = [images.index_file, source / "weights.safetensors", source / CENTRES]
    name = f"distill/{side}"
    with checkpoints(name, used, inputs) as saved:
        log = Path("metrics") / name
        fit(name, {"branch": branch}, settings, len(images), step, saved, log, seed)
        with atomic_folder(Path("models") / name) as folder:
            described = trunk.family.describe(trunk.params)
            save_network(
                folder,
                branch,
                described,
                trunk.contract,
                resolution=side,
                trunk=fingerprint(source),
            )


def _fixed(classifier: Classifier, source: Path) -> Classifier:
    """With the trunk's own class centres: a branch must be read by the trunk's gallery."""
    tensors, _ = load_weights(source / CENTRES)
    classifier.load_state_dict(tensors)
    return classifier.eval().requires_grad_(False)


if __name__ == "__main__":
    start(main, "resolution")
