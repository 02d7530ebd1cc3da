"""A branch on r-pixel images, and the trunk on the same pixels brought back to 112."""

from __future__ import annotations

from pathlib import Path

from stages.core.seeding import prepare
from stages.descriptors import mean, norm
from stages.extract.features import set_descriptors, write_features
from stages.extract.images import Images, embed
from stages.extract.job import Job
from stages.networks._files import load_branch, load_trunk, require_trunk


def extract(job: Job) -> None:
    """Write `branch_<r>` and, beside it, `upsampled_<r>`."""
    side = int(job.item)
    device = prepare(job.seed, job.threads, job.device)
    trunk = load_trunk(job.trunk)
    stored = Path("models/distill") / job.item
    branch = load_branch(stored)
    require_trunk(stored, branch.header, job.trunk)
    network = trunk.family.fold(trunk.network).to(device)
    front = branch.family.fold(branch.network).to(device)
    images = Images(job.image_set, job.settings, trunk.contract, device)
    joined = embed(images.batches(side), lambda batch: network.resume(front(batch), front.depth))
    joined |= set_descriptors(job.image_set, joined, mean, norm)
    write_features(job.output, joined)
    upsampled = embed(images.batches(side, True), network)
    upsampled |= set_descriptors(job.image_set, upsampled, mean, norm)
    write_features(job.output.with_name(f"upsampled_{side}"), upsampled)
