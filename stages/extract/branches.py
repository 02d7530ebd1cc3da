"""Every branch on r-pixel images, and the trunk on the same pixels brought back to 112."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stages.core.files import atomic_folder
from stages.core.seeding import prepare
from stages.descriptors import mean, norm
from stages.extract.about import about
from stages.extract.features import write_batches
from stages.extract.images import Images, embed, for_inference
from stages.extract.job import Job
from stages.networks._files import Loaded, load_branch, load_trunk, require_trunk
from stages.networks._staged import Trunk

BRANCHES = Path("models/distill")


def extract(job: Job) -> None:
    """Write `branches/branch_<r>` and `branches/upsampled_<r>` for every resolution r."""
    device = prepare(job.seed, job.threads, job.device, job.instructions)
    trunk = load_trunk(job.trunk)
    network = for_inference(trunk, job.settings, device)
    images = Images(job.image_set, job.settings, trunk.contract, device)
    of_trunk = about(job, job.trunk, trunk.contract, mean, norm)
    with atomic_folder(job.output) as folder:
        for side in job.resolutions:
            branch = load_branch(BRANCHES / str(side))
            joined = _through_branch(job, side, branch, images, network, device)
            upsampled = embed(images.batches(side, True), network)
            of_branch = about(job, BRANCHES / str(side), branch.contract, mean, norm)
            for model, embedded, described in (
                ("branch", joined, of_branch),
                ("upsampled", upsampled, of_trunk),
            ):
                into = folder / f"{model}_{side}"
                whole = job.image_set, len(images.store), embedded
                write_batches(into, *whole, mean, norm, about=described)


def _through_branch(
    job: Job,
    side: int,
    branch: Loaded,
    images: Images,
    network: torch.nn.Module,
    device: torch.device,
) -> Iterator[dict[str, np.ndarray]]:
    require_trunk(BRANCHES / str(side), branch.header, job.trunk)
    front = for_inference(branch, job.settings, device)
    if isinstance(branch.network, Trunk):
        return embed(images.batches(side), front)
    return embed(images.batches(side), lambda batch: network.resume(front(batch), front.depth))
