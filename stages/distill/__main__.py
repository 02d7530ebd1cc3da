"""Trunk -> one branch for images of r pixels (BTNet, arXiv 2310.09563).

The trunk stays as it is, bit for bit: only the branch, from the stem to the first block of the
stage where it joins, is trained, and only the branch is saved. `freeze: reference` does as the
code behind the published numbers (stages/distill/student.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from stages.core.checkpoints import checkpoints
from stages.core.classifier import ClassifierParams
from stages.core.errors import InputError
from stages.core.files import atomic_folder
from stages.core.fit import fit
from stages.core.launch import start_on_ranks
from stages.core.params import load, read_params, section
from stages.core.ranks import rank
from stages.core.seeding import prepare
from stages.core.state import load_whole_state
from stages.core.weights import load_weights
from stages.datasets._augment import augment, draws
from stages.datasets._training import TrainingImages
from stages.distill.losses import distillation
from stages.distill.params import Params
from stages.distill.student import FREEZES
from stages.losses._classifier import Classifier
from stages.networks._files import CENTRES, WEIGHTS, fingerprint, load_trunk, save_network

CHOICES = ("dataset", "loss", "classifier", "trunk", "seed", "threads", "device", "instructions")


def main(resolution: str) -> None:
    """Distil the branch for images of `resolution` pixels from the trunk."""
    side = int(resolution)
    params = read_params()
    seed = params["seed"]
    device = prepare(seed, params["threads"], params["device"], params["instructions"])
    settings = section("distill", Params, params)
    source = Path("models") / params["trunk"]
    trunk = load_trunk(source)
    teacher = trunk.network.to(device, memory_format=torch.channels_last)
    student = FREEZES[settings.freeze](trunk, side)
    student.network.to(device, memory_format=torch.channels_last).train()
    images = TrainingImages(Path("data/align") / params["dataset"], params["threads"])
    loss = params["loss"]
    margins, margin = load("losses", loss, params["losses"].get(loss), f"losses.{loss}")
    spheres = section("classifier", ClassifierParams, params).spheres
    shape = (trunk.params.embedding, images.classes)
    classifier = _fixed(Classifier(*shape, margins.build(margin), spheres=spheres), source)
    classifier.to(device)

    def load_batch(rows: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        uniform = draws(seed, f"distill {side}", epoch, rows)
        return *images.batch(rows, uniform, settings.augment), uniform

    def step(loaded: tuple[np.ndarray, ...], epoch: int) -> dict[str, torch.Tensor]:
        pixels, labels, uniform = loaded
        large = trunk.contract.normalise(torch.from_numpy(pixels).to(device))
        large = augment(large, uniform, settings.augment)
        small = F.interpolate(large, (side, side), mode="bilinear", antialias=settings.antialias)
        with torch.no_grad():
            taught = teacher.pyramid(large.contiguous(memory_format=torch.channels_last))
        map_, embedding = student.embed(small.contiguous(memory_format=torch.channels_last))
        losses = distillation(map_, embedding, taught, student.stage)
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
    inputs = [images.index_file, source / WEIGHTS, source / CENTRES]
    name = f"distill/{side}"
    with checkpoints(name, used, inputs) as saved:
        log = Path("metrics") / name
        modules = {"branch": student.network, "classifier": classifier}
        fit(name, modules, settings, len(images), step, saved, log, seed, load_batch)
        if rank() == 0:
            described = trunk.family.describe(trunk.params)
            origin = {"resolution": side, "trunk": fingerprint(source), "freeze": settings.freeze}
            contract = trunk.contract.learning(params["dataset"], images.digest)
            with atomic_folder(Path("models") / name) as folder:
                save_network(folder, student.network, described, contract, **origin)


def _fixed(classifier: Classifier, source: Path) -> Classifier:
    """With the trunk's own class centres: a branch must be read by the trunk's gallery.

    The margin's statistics go on from the trunk's, or start anew where its file has none.
    """
    path = source / CENTRES
    tensors, header = load_weights(path)
    there = (*tensors["centres"].shape, header["spheres"])
    wanted = (classifier.classes, classifier.centres.shape[1], classifier.spheres)
    if there != wanted:
        raise InputError(
            path,
            f"classes, dimensions and spheres are {there}, those asked for {wanted}",
            "set dataset and classifier.spheres to what the trunk was trained with",
        )
    state = classifier.state_dict()
    same = state.keys() & tensors.keys()
    load_whole_state(classifier, state | {name: tensors[name] for name in same})
    return classifier.requires_grad_(False)


if __name__ == "__main__":
    start_on_ranks(main, "resolution")
