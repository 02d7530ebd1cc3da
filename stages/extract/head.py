"""What a head says: of each image, as it is and in low resolution, and of each template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.contract import InputContract
from stages.core.params import load
from stages.core.seeding import prepare
from stages.core.weights import load_weights
from stages.descriptors import coreset, kappa, precision
from stages.extract.about import about
from stages.extract.features import set_descriptors, write_features
from stages.extract.images import FULL, Images, for_inference
from stages.extract.job import Job
from stages.networks._files import WEIGHTS, load_trunk, require_trunk

OF_TRUNK = ("embedding", "mirrored", "norm")


def extract(job: Job) -> None:
    """Write `head_<name>`: confidences, and the descriptor and confidences of templates."""
    device = prepare(job.seed, job.threads, job.device, job.instructions)
    folder = Path("models/head") / job.item
    heads, head, header = load_head(folder, device)
    require_trunk(folder / WEIGHTS, header, job.trunk)
    stored = job.output.with_name("trunk")
    features = {part: np.load(stored / f"{part}.npy", mmap_mode="r") for part in OF_TRUNK}
    if hasattr(heads, "loss"):
        arrays = _confidences(job, heads, head, device)
        pooling, said = (kappa, "kappa") if "kappa" in arrays else (precision, "sigma2")
        arrays |= set_descriptors(job.image_set, features, pooling, told=arrays[said])
    else:
        pooling = coreset
        arrays = set_descriptors(job.image_set, features, pooling, told=head.describe)
    contract = InputContract(**header["contract"])
    write_features(job.output, arrays, about(job, folder, contract, pooling))


def load_head(folder: Path, device: torch.device) -> tuple[Any, nn.Module, dict[str, Any]]:
    """Module of stages/heads, the head in `folder` in eval mode, and the file's header."""
    tensors, header = load_weights(folder / WEIGHTS)
    heads, settings = load("heads", header["head"], header["settings"], f"head.{header['head']}")
    head = heads.build(settings, **header["build"])
    head.load_state_dict(tensors)
    return heads, head.to(device).eval(), header


@torch.inference_mode()
def _confidences(
    job: Job, heads: Any, head: nn.Module, device: torch.device
) -> dict[str, np.ndarray]:
    """Every confidence of the images, and of their copies those that are one number an image."""
    trunk = load_trunk(job.trunk)
    network = for_inference(trunk, job.settings, device)
    images = Images(job.image_set, job.settings, trunk.contract, device)

    def told(batches: Iterator[Tensor]) -> dict[str, np.ndarray]:
        logs = torch.cat([head(network.body(batch).float()).cpu() for batch in batches])
        return {name: value.numpy() for name, value in heads.confidences(logs).items()}

    arrays = told(images.batches(FULL))
    for side in job.resolutions:
        copies = told(images.batches(side, True))
        arrays |= {f"{name}_{side}": value for name, value in copies.items() if value.ndim == 1}
    return arrays
