"""Confidence of a head on images as they are and on their low-resolution copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stages.core.params import load
from stages.core.seeding import prepare
from stages.core.weights import load_weights
from stages.descriptors import kappa as kappa_weighted
from stages.extract.features import set_descriptors, write_features
from stages.extract.images import FULL, Images
from stages.extract.job import Job
from stages.networks._files import load_trunk, require_trunk

OF_TRUNK = ("embedding", "mirrored", "norm")


@torch.inference_mode()
def extract(job: Job) -> None:
    """Write `head_<name>`: kappa, kappa of the copies, and the descriptor by kappa."""
    device = prepare(job.seed, job.threads, job.device)
    trunk = load_trunk(job.trunk)
    path = Path("models/head") / job.item / "weights.safetensors"
    tensors, header = load_weights(path)
    require_trunk(path, header, job.trunk)
    heads, settings = load("heads", job.item, header["settings"], f"head.{job.item}")
    head = heads.build(settings, **header["shape"])
    head.load_state_dict(tensors)
    head.to(device).eval()
    network = trunk.family.fold(trunk.network).to(device)
    images = Images(job.image_set, job.settings, trunk.contract, device)

    def kappa(batches: Iterator[Tensor]) -> np.ndarray:
        logs = [head(network.body(batch).flatten(1)).float().cpu() for batch in batches]
        return heads.quality(torch.cat(logs)).numpy()

    arrays = {"kappa": kappa(images.batches(FULL))}
    for side in job.resolutions:
        arrays[f"kappa_{side}"] = kappa(images.batches(side, True))
    stored = job.output.with_name("trunk")
    features = {part: np.load(stored / f"{part}.npy") for part in OF_TRUNK}
    arrays |= set_descriptors(job.image_set, features | arrays, kappa_weighted)
    write_features(job.output, arrays)
