"""Images -> trunk and class centres."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from stages.core.checkpoints import checkpoints
from stages.core.contract import InputContract
from stages.core.entry import start
from stages.core.files import atomic_folder
from stages.core.fit import fit
from stages.core.params import load, read_params, section
from stages.core.recipe import Recipe
from stages.core.seeding import prepare
from stages.core.weights import save_weights
from stages.datasets._augment import augment, degrade, draws
from stages.datasets._training import TrainingImages
from stages.losses._classifier import Classifier
from stages.networks._files import save_network
from stages.train.params import Params

OUTPUT, LOG = Path("models/train"), Path("metrics/train")
CHOICES = ("dataset", "loss", "backbone", "classifier", "schedule", "seed", "threads", "device")


def main() -> None:
    """Train the trunk that params.yaml describes."""
    params = read_params()
    seed, schedule_name = params["seed"], params["schedule"]
    device = prepare(seed, params["threads"], params["device"])
    settings = section("train", Params, params)
    recipe = section(f"schedules.{schedule_name}", Recipe, params)
    loss = params["loss"]
    margins, margin_params = load("losses", loss, params["losses"].get(loss), f"losses.{loss}")
    shape = dict(params["backbone"])
    family, network_params = load("networks", shape.pop("name"), shape, "backbone")

    images = TrainingImages(Path("data/align") / params["dataset"])
    contract = InputContract(
        colour=settings.colour,
        mean=settings.mean,
        scale=settings.scale,
        embedding=network_params.embedding,
        training_data=f"{params['dataset']} {images.digest}",
    )
    network = family.build(network_params).to(device, memory_format=torch.channels_last)
    classifier = Classifier(
        network_params.embedding,
        images.classes,
        margins.build(margin_params),
        spheres=params["classifier"]["spheres"],
    ).to(device)
    network.train()
    half = settings.precision == "bf16"

    def step(rows: np.ndarray, epoch: int) -> dict[str, torch.Tensor]:
        uniform = draws(seed, "train", epoch, rows)
        pixels, labels = images.batch(rows)
        pixels = degrade(pixels, uniform, recipe.augment, settings.resampler)
        batch = contract.normalise(torch.from_numpy(pixels).to(device))
        batch = augment(batch, uniform, recipe.augment)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
            embedding = network(batch)
        result = classifier(embedding, torch.from_numpy(labels).to(device))
        return {
            "loss": result.total,
            "cosine": result.cosine.mean(),
            "norm": embedding.detach().norm(dim=1).mean(),
        }

    used = {key: params[key] for key in CHOICES}
    used |= {"train": settings.model_dump(), "recipe": recipe.model_dump()}
    used["margin"] = margin_params.model_dump()
    with checkpoints("train", used, [images.index_file]) as saved:
        modules = {"network": network, "classifier": classifier}
        fit("train", modules, recipe, len(images), step, saved, LOG, seed)
        with atomic_folder(OUTPUT) as folder:
            save_network(
                folder, network, family.describe(network_params), contract, classes=images.classes
            )
            save_weights(
                folder / "classifier.safetensors",
                classifier.state_dict(),
                {"loss": loss, "spheres": classifier.spheres, "classes": images.classes},
            )


if __name__ == "__main__":
    start(main)
