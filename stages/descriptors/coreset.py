"""A few images that stand for the template, and what they read of the others (FaceCoresetNet).

Published (Shapira and Keller, AAAI 2024): all images of a template at once, whatever their media,
without the mirror images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stages.core.params import Section
from stages.descriptors._pooling import Templates

Aggregate = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Params(Section):
    """
    flip: an image's embedding is the mean of its own and its mirror image's.
    """

    flip: bool = False


def describe(
    embedding: np.ndarray,
    mirrored: np.ndarray | None,
    templates: Templates,
    norm: np.ndarray | None,
    aggregate: Aggregate,
    params: Params,
) -> tuple[np.ndarray, np.ndarray]:
    """Template ids in ascending order, and a row for each, float32 [T, d], not normalised.

    Args:
        embedding, mirrored: raw, float32 [n, d], of the images and of their mirror images.
        templates: which of the n images belong to which template.
        norm: not used here; the lengths are those of what enters.
        aggregate: (unit embeddings [m, d] set by set, their lengths [m], sizes of the sets [T]) ->
            descriptors [T, d].
        params: as above.
    """
    order = np.argsort(templates.template, kind="stable")
    image = templates.image[order]
    vectors = np.asarray(embedding[image], np.float32)
    if params.flip and mirrored is not None:
        vectors = (vectors + mirrored[image]) / 2
    norm = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.where(norm > 0, norm, 1)[:, None]
    sizes = np.bincount(templates.template, minlength=len(templates.ids))
    return templates.ids, aggregate(unit, norm, sizes)
