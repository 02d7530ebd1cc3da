"""Features by heads: confidences of images, full size and low resolution, and of templates."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.contract import InputContract
from stages.core.params import load
from stages.core.seeding import prepare
from stages.core.weights import load_weights
from stages.datasets._store import ImageStore
from stages.descriptors import coreset, kappa, precision
from stages.extract.about import about
from stages.extract.batches import FULL, batches
from stages.extract.features import FeatureWriter, save, set_descriptors
from stages.extract.inference import fed, for_inference
from stages.extract.job import NO_SEED, Job
from stages.networks._files import WEIGHTS, load_trunk, require_trunk

HEADS = Path("models/head")
OF_TRUNK = ("embedding", "mirrored", "norm")


class Head(NamedTuple):
    """A head from a file, and what writes its features.

    Attributes:
        weights: their folder.
        library: module of stages/heads that built it.
        network: in eval mode.
        header: of the weights file.
        writer: of its features.
    """

    weights: Path
    library: Any
    network: nn.Module
    header: dict[str, Any]
    writer: FeatureWriter

    @property
    def describes_images(self) -> bool:
        """Whether it gives confidences of images; otherwise it describes sets of embeddings."""
        return hasattr(self.library, "confidences")

    def append(self, body: Tensor, side: int) -> None:
        """Write the confidences of some images, from the trunk's maps of them.

        Args:
            body: last map of the trunk, float32 [B, C, 7, 7].
            side: resolution of the images. Below 112 px an array is called `<name>_<side>`, and
                only arrays with one number per image are written.
        """
        said = self.library.confidences(self.network(body).cpu())
        arrays = {name: value.numpy() for name, value in said.items()}
        if side != FULL:
            arrays = {f"{name}_{side}": value for name, value in arrays.items() if value.ndim == 1}
        self.writer.append(arrays)


def write_heads(job: Job, into: Path) -> None:
    """Write a folder per head: confidences of images, descriptors and confidences of templates.

    Args:
        into: an existing folder, which an `atomic_folder` keeps.

    Raises:
        InputError: a head was made for another trunk.
    """
    device = prepare(NO_SEED, job.threads, job.device, job.instructions)
    store = ImageStore(Path("data/align") / job.image_set)
    stored = job.features / "trunk"
    features = {part: np.load(stored / f"{part}.npy", mmap_mode="r") for part in OF_TRUNK}
    heads = [_load(name, job, FeatureWriter(into / name, len(store)), device) for name in job.heads]
    if of_images := [head for head in heads if head.describes_images]:
        _write_confidences(job, store, of_images, device)
    for name, head in zip(job.heads, heads, strict=True):
        pooling, told = _pooling(head)
        described = set_descriptors(job.image_set, features, pooling, told=told)
        contract = InputContract(**head.header["contract"])
        save(into / name, described, about(job, head.weights, contract, pooling))


def _load(name: str, job: Job, writer: FeatureWriter, device: torch.device) -> Head:
    weights = HEADS / name
    library, network, header = load_head(weights, device)
    require_trunk(weights / WEIGHTS, header, job.trunk)
    return Head(weights, library, network, header, writer)


def load_head(folder: Path, device: torch.device) -> tuple[Any, nn.Module, dict[str, Any]]:
    """Module of stages/heads, the head in `folder` in eval mode, and the file's header."""
    tensors, header = load_weights(folder / WEIGHTS)
    heads, settings = load("heads", header["head"], header["settings"], f"head.{header['head']}")
    head = heads.build(settings, **header["build"])
    head.load_state_dict(tensors)
    return heads, head.to(device).eval(), header


@torch.inference_mode()
def _write_confidences(
    job: Job, store: ImageStore, heads: list[Head], device: torch.device
) -> None:
    """Run the trunk once per image and resolution, for all heads together."""
    trunk = load_trunk(job.trunk)
    network = for_inference(trunk, job.settings, device)
    for batch in batches(store, job.image_set, job.settings):
        for side in (FULL, *job.resolutions):
            images = batch.full() if side == FULL else batch.upsampled(side)
            body = network.body(fed(images, trunk.contract, device)).float()
            for head in heads:
                head.append(body, side)


def _pooling(head: Head) -> tuple[ModuleType, Any]:
    """The module that describes templates by this head, and what the head gives it."""
    if not head.describes_images:
        return coreset, head.network.describe
    said = head.writer.arrays()
    return (kappa, said["kappa"]) if "kappa" in said else (precision, said["sigma2"])
