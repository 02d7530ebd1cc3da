"""Features that were computed elsewhere, in the place of those that a model here would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.core.errors import InputError
from stages.core.external import ExternalFeatures
from stages.core.files import sha256
from stages.core.index import read_index, read_table
from stages.core.params import section
from stages.datasets._features import distinct_images, read_features
from stages.descriptors import mean, norm
from stages.extract.features import set_descriptors, settings_of, write_features
from stages.extract.job import Job


def extract(job: Job) -> None:
    """Write `external_<name>`: embeddings, norms, descriptors by mean and by norm.

    The file has a row for each image of the unpacked set, in its order (for IJB that of the list of
    landmarks), or one for each that could be aligned, or one for each image of a pack, of which
    many occur twice. Where it has no mirror images the embedding stands for both, which changes no
    cosine.
    """
    entry = section(f"features.{job.item}", ExternalFeatures)
    path = Path(entry.file)
    record = read_index(Path("data/align") / job.image_set / "index.parquet").record
    unpacked = Path("data/unpack") / job.image_set
    images, pairs = read_index(unpacked / "index.parquet"), unpacked / "tables/pairs.parquet"
    arrays = read_features(path)
    rows = len(arrays["embedding"])
    if pairs.is_file() and rows == 2 * len(read_table(pairs)["same"]):  # all images of a pack
        distinct = distinct_images(images.source.tolist())
        arrays = {name: values[distinct] for name, values in arrays.items()}
        rows = len(distinct)
    if rows not in (len(images), len(record)):
        problem = f"{rows} rows for the {len(images)} images of {job.image_set}"
        raise InputError(
            path, problem, "give one row an image, in the order of the data set's list"
        )
    if rows == len(images):
        arrays = {name: values[record] for name, values in arrays.items()}
    arrays.setdefault("mirrored", arrays["embedding"])
    arrays["norm"] = np.linalg.norm(arrays["embedding"], axis=1)
    arrays |= set_descriptors(job.image_set, arrays, mean, norm)
    chosen = settings_of(job.image_set, mean, norm)
    about = {
        "file": f"{path.name} sha256 {sha256(path)}",
        "descriptors": {name: settings.model_dump() for name, settings in chosen.items()},
    }
    write_features(job.output, arrays, about)
