"""Features of a set by pixels, trunk and branches; every image is decoded once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.core.files import atomic_folder
from stages.core.seeding import prepare
from stages.datasets._store import ImageStore
from stages.descriptors import mean, norm
from stages.extract.about import about
from stages.extract.batches import Batch, batches
from stages.extract.features import FeatureWriter, save, set_descriptors
from stages.extract.inference import embed, fed, for_inference
from stages.extract.job import NO_SEED, Job
from stages.extract.pixels import grey
from stages.networks._files import Loaded, load_branch, load_trunk, require_trunk
from stages.networks._staged import Staged, Trunk

BRANCHES = Path("models/distill")

Arrays = dict[str, np.ndarray]
View = Callable[[Batch], np.ndarray]  # gives the copies of the images that a network is fed
Network = Callable[[Tensor], Tensor]  # gives embeddings of them


@dataclass(frozen=True)
class Model:
    """Features of one model.

    Attributes:
        folder: where they are written.
        arrays: gives the rows of a batch, by name.
        about: content of `model.json`.
        descriptors: modules of stages/descriptors that describe the templates.
    """

    folder: Path
    arrays: Callable[[Batch], Arrays]
    about: dict[str, Any]
    descriptors: tuple[ModuleType, ...] = ()


def extract(job: Job) -> None:
    """Write `pixels`, and `trunk` with `branch_<r>` and `upsampled_<r>` in it per resolution r.

    Each has embeddings and norms; of a set with templates also descriptors by mean and by norm,
    but for the pixels.
    """
    device = prepare(NO_SEED, job.threads, job.device, job.instructions)
    with (
        atomic_folder(job.features / "pixels") as pixels,
        atomic_folder(job.features / "trunk") as trunk,
    ):
        side = job.settings.pixels
        plain = Model(pixels, lambda batch: grey(batch.images, side), {"side": side})
        _write([plain, *_networks(trunk, job, device)], job)


def _networks(folder: Path, job: Job, device: torch.device) -> Iterator[Model]:
    """The trunk; each branch on r-pixel images; the trunk on these brought back to 112 px."""
    trunk = load_trunk(job.trunk)
    network = for_inference(trunk, job.settings, device)

    def model(name: str, view: View, weights: Path, loaded: Loaded, embeds: Network) -> Model:
        contract = loaded.contract  # alone, so that the unfolded network can go

        def arrays(batch: Batch) -> Arrays:
            return embed(fed(view(batch), contract, device), embeds)

        said = about(job, weights, contract, mean, norm)
        return Model(folder / name, arrays, said, (mean, norm))

    yield model("", Batch.full, job.trunk, trunk, network)
    for side in job.resolutions:
        weights = BRANCHES / str(side)
        branch = load_branch(weights)
        require_trunk(weights, branch.header, job.trunk)
        joined = _joined(for_inference(branch, job.settings, device), network)
        yield model(f"branch_{side}", partial(Batch.small, side=side), weights, branch, joined)
        back = partial(Batch.upsampled, side=side)
        yield model(f"upsampled_{side}", back, job.trunk, trunk, network)


def _joined(branch: Staged, trunk: Staged) -> Network:
    """The branch and the rest of the trunk, or the branch alone where it is a whole network, as
    one distilled by the reference's rule is."""
    if isinstance(branch, Trunk):
        return branch
    return lambda images: trunk.resume(branch(images), branch.depth)


def _write(models: list[Model], job: Job) -> None:
    store = ImageStore(Path("data/align") / job.image_set)
    writers = [FeatureWriter(model.folder, len(store)) for model in models]
    for batch in batches(store, job.image_set, job.settings):
        for model, writer in zip(models, writers, strict=True):
            writer.append(model.arrays(batch))
    for model, writer in zip(models, writers, strict=True):
        described = set_descriptors(job.image_set, writer.arrays(), *model.descriptors)
        save(model.folder, described, model.about)
