"""Features that were computed elsewhere, in the place of those that a model here would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.external import ExternalFeatures
from stages.core.files import atomic_folder, sha256
from stages.core.index import read_index, read_table
from stages.core.params import section
from stages.datasets._features import read_features
from stages.datasets._order import interleaved, place
from stages.descriptors import mean, norm
from stages.extract.features import save, set_descriptors, settings_of
from stages.extract.job import Job


def extract(job: Job) -> None:
    """Write `external_<name>`: embeddings, norms, descriptors by mean and by norm.

    The file names the images of its rows, or has a row for each image of the unpacked set, in its
    order (for IJB that of the list of landmarks), or one for each that could be aligned, or one for
    each image of a pack, of which many occur twice. Where it has no mirror images the embedding
    stands for both, which changes no cosine.
    """
    entry = section(f"features.{job.item}", ExternalFeatures)
    path = Path(entry.file)
    record = read_index(Path("data/align") / job.image_set / "index.parquet").record
    unpacked = Path("data/unpack") / job.image_set
    images, pairs = read_index(unpacked / "index.parquet"), unpacked / "tables/pairs.parquet"
    pack = interleaved(read_table(pairs) if pairs.is_file() else None)
    given = read_features(path, entry.dimensions)
    arrays, notes = place(path, given, images.source.tolist(), pack, record)
    arrays.setdefault("mirrored", arrays["embedding"])
    arrays["norm"] = np.linalg.norm(arrays["embedding"], axis=1)
    arrays |= set_descriptors(job.image_set, arrays, mean, norm)
    chosen = settings_of(job.image_set, mean, norm)
    about = {
        "file": f"{path.name} sha256 {sha256(path)}",
        **notes,
        "descriptors": {name: settings.model_dump() for name, settings in chosen.items()},
    }
    with atomic_folder(job.features / f"external_{job.item}") as folder:
        save(folder, arrays, about)
