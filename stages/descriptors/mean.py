"""Mean of unit embeddings: every image counts alike, however sharp.

Images of one medium (frames of a video) are averaged first, then media are summed, so that a long
video does not outweigh a still (Crosswhite et al., FG 2017).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from stages.core.params import Section
from stages.descriptors._pooling import Templates, lengths, pool, weighted_sums


class Params(Section):
    """
    flip: pool the sum of the embeddings of the image and its mirror image.
    detector: weight images by the face detector's score (insightface, BTNet).
    media: average the images of a medium before media are summed.
    unit: what is brought to length 1: every image, or the raw mean of every medium (MagFace's
        published evaluation).
    """

    flip: bool = True
    detector: bool = False
    media: bool = True
    unit: Literal["image", "media"] = "image"


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
    mirrored = mirrored if params.flip else None
    weight = templates.score.astype(np.float64) if params.detector else 1.0
    if params.unit == "media":
        return templates.ids, _unit_media(embedding, mirrored, templates, weight)
    weight = weight / lengths(embedding, mirrored)[templates.image]
    if params.media:
        weight = weight * templates.media_shares
    return templates.ids, pool(templates, embedding, mirrored, weight)


def _unit_media(
    embedding: np.ndarray, mirrored: np.ndarray | None, templates: Templates, weight: np.ndarray
) -> np.ndarray:
    number, template = templates.medium, templates.template_of_medium
    entries = (templates.image, number, np.broadcast_to(weight, number.shape), len(template))
    media = weighted_sums(embedding, *entries)
    if mirrored is not None:
        media += weighted_sums(mirrored, *entries)
    share = 1 / lengths(media, None)
    return weighted_sums(media, np.arange(len(media)), template, share, len(templates.ids))
