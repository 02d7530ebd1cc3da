"""Templates of images that are seen at two resolutions at once, as BTNet scores IJB-C."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stages.core.errors import InputError
from stages.core.index import Index
from stages.core.params import PARAMS_FILE, section
from stages.descriptors import mean, norm
from stages.descriptors._pooling import Templates
from stages.evaluate.features import Features
from stages.protocols._tables import Tables


def fuser(
    features: Features, tables: Tables, index: Index
) -> Callable[[str, str, str], np.ndarray]:
    """(model at r1, model at r2, descriptor) -> descriptors, float32 [templates, d].

    Every image is the embedding of its r1 copy plus that of its mirrored r2 copy; what follows
    (length, detector's score, media) is the descriptor's own.
    """

    def fuse(first: str, second: str, descriptor: str) -> np.ndarray:
        module = {"mean": mean, "norm": norm}[descriptor]
        settings = section(f"descriptors.{descriptor}", module.Params)
        if not settings.flip:
            problem = "the r2 copy of a fused row is the mirror image, which `flip: false` drops"
            raise InputError(PARAMS_FILE, problem, "set it to true", f"descriptors.{descriptor}")
        embedding, mirrored = features.read(first, "embedding"), features.read(second, "mirrored")
        templates = Templates.of(tables["templates"], index.record)
        return module.describe(embedding, mirrored, templates, None, None, settings)[1]

    return fuse
