"""The trunk on images as they are, and the set descriptors that need it alone."""

from __future__ import annotations

from stages.core.seeding import prepare
from stages.descriptors import mean, norm
from stages.extract.about import about
from stages.extract.features import write_batches
from stages.extract.images import FULL, Images, embed, for_inference
from stages.extract.job import Job
from stages.networks._files import load_trunk


def extract(job: Job) -> None:
    """Write `trunk`: embeddings, norms, descriptors by mean and by norm."""
    device = prepare(job.seed, job.threads, job.device, job.instructions)
    trunk = load_trunk(job.trunk)
    network = for_inference(trunk, job.settings, device)
    images = Images(job.image_set, job.settings, trunk.contract, device)
    embedded = embed(images.batches(FULL), network)
    described = about(job, job.trunk, trunk.contract, mean, norm)
    whole = job.image_set, len(images.store), embedded
    write_batches(job.output, *whole, mean, norm, about=described)
