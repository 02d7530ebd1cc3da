"""Embeddings weighted by their length (MagFace+; Meng et al., CVPR 2021, section 4.4).

A unit embedding times its length is the raw embedding, so these are sums of raw embeddings. It is
also the pooling of insightface (with `detector`) and AdaFace.
"""

from __future__ import annotations

import numpy as np

from stages.core.params import Section
from stages.descriptors._pooling import Templates, pool


class Params(Section):
    """
    flip: pool the sum of the embeddings of the image and its mirror image.
    detector: weight images by the face detector's score as well (insightface).
    media: average the images of a medium before media are summed.
    """

    flip: bool = True
    detector: bool = False
    media: bool = True


def describe(
    embedding: np.ndarray,
    mirrored: np.ndarray | None,
    templates: Templates,
    norm: np.ndarray | None,
    kappa: np.ndarray | None,
    params: Params,
) -> tuple[np.ndarray, np.ndarray]:
    """Template ids in ascending order, and a row for each, float32 [T, d], not normalised.

    Args:
        embedding, mirrored: raw, float32 [n, d], of the images and of their mirror images.
        templates: which of the n images belong to which template.
        norm, kappa: confidences of the images, float32 [n]; not used here.
        params: as above.
    """
    weight = np.ones(len(templates.image))
    if params.detector:
        weight = weight * templates.score
    if params.media:
        weight = weight * templates.media_shares
    return templates.ids, pool(templates, embedding, mirrored if params.flip else None, weight)
