"""Images -> trunk and class centres."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from stages.core.checkpoints import checkpoints
from stages.core.classifier import ClassifierParams
from stages.core.contract import InputContract
from stages.core.files import atomic_folder
from stages.core.fit import Loop, fit
from stages.core.launch import start_on_ranks
from stages.core.params import load, read_params, section
from stages.core.ranks import rank
from stages.core.schedule import Schedule
from stages.core.seeding import prepare
from stages.core.state import whole_state
from stages.core.weights import save_weights
from stages.datasets._augment import augment, draws
from stages.datasets._training import TrainingImages
from stages.losses._classifier import Classifier
from stages.networks._files import CENTRES, save_network
from stages.train.initial import start_from
from stages.train.params import Params

OUTPUT, LOG = Path("models/train"), Path("metrics/train")
CHOICES = (
    "dataset",
    "loss",
    "backbone",
    "classifier",
    "schedule",
    "seed",
    "threads",
    "device",
    "instructions",
)
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    """Train the trunk that params.yaml describes."""
    params = read_params()
    seed, schedule_name = params["seed"], params["schedule"]
    device = prepare(seed, params["threads"], params["device"], params["instructions"])
    settings = section("train", Params, params)
    schedule = section(f"schedules.{schedule_name}", Schedule, params)
    loss = params["loss"]
    margins, margin_params = load("losses", loss, params["losses"].get(loss), f"losses.{loss}")
    shape = dict(params["backbone"])
    family, network_params = load("networks", shape.pop("name"), shape, "backbone")

    images = TrainingImages(Path("data/align") / params["dataset"], params["threads"])
    contract = InputContract(
        colour=settings.colour,
        mean=settings.mean,
        scale=settings.scale,
        embedding=network_params.embedding,
    )
    learnt = params["dataset"], images.digest
    network = family.build(network_params).to(device, memory_format=torch.channels_last).train()
    margin = margins.build(margin_params)
    sizes = (network_params.embedding, images.classes)
    shares = section("classifier", ClassifierParams, params).model_dump()
    classifier = Classifier(*sizes, margin, seed=seed, **shares).to(device)
    inputs = [images.index_file]
    if settings.initial:
        initial = Path("models") / settings.initial
        files, contract = start_from(initial, network, classifier, contract)
        inputs += files
    contract = contract.learning(*learnt)
    forward = torch.compile(network) if settings.compile else network
    half = HALF.get(settings.precision)

    def load_batch(rows: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        uniform = draws(seed, "train", epoch, rows)
        return *images.batch(rows, uniform, schedule.augment, settings.resampler), uniform

    def step(loaded: tuple[np.ndarray, ...], epoch: int) -> dict[str, torch.Tensor]:
        pixels, labels, uniform = loaded
        batch = contract.normalise(torch.from_numpy(pixels).to(device))
        batch = augment(batch, uniform, schedule.augment)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, half) if half else nullcontext():
            embedding = forward(batch)
        result = classifier(embedding, torch.from_numpy(labels).to(device))
        return {
            "loss": result.total,
            "cosine": result.cosine.mean(),
            "norm": embedding.detach().norm(dim=1).mean(),
        }

    used = {key: params[key] for key in CHOICES}
    used |= {"train": settings.model_dump(), "recipe": schedule.model_dump()}
    used["margin"] = margin_params.model_dump()
    loop = Loop(settings.accumulate, settings.precision == "fp16", settings.checkpoint_steps)
    with checkpoints("train", used, inputs) as saved:
        modules = {"network": network, "classifier": classifier}
        fit("train", modules, schedule, len(images), step, saved, LOG, seed, load_batch, loop)
        centres = whole_state(classifier)
        if rank() == 0:
            described = family.describe(network_params)
            header = {"loss": loss, "spheres": classifier.spheres, "classes": images.classes}
            with atomic_folder(OUTPUT) as folder:
                save_network(folder, network, described, contract, classes=images.classes)
                save_weights(folder / CENTRES, centres, header)


if __name__ == "__main__":
    start_on_ranks(main)
