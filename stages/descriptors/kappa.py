"""Unit embeddings weighted by their concentration kappa (SCF; Li et al., CVPR 2021, equation 14).

z = sum over the images of kappa * mu, divided by the sum of kappa.
"""

from __future__ import annotations

import numpy as np

from stages.core.params import Section
from stages.descriptors._pooling import Templates, lengths, pool


class Params(Section):
    """
    flip: mu is the direction of the sum of the embeddings of the image and its mirror image.
    media: pool each medium by equation 14 and sum the media; otherwise all images of the template
        at once, as published.
    independent: the template's own kappa, for likelihood scores, is that of the product of its
        images' densities; otherwise, as frames of a video repeat each other, its surest image's.
    """

    flip: bool = True
    media: bool = False
    independent: bool = False


def describe(
    embedding: np.ndarray,
    mirrored: np.ndarray | None,
    templates: Templates,
    norm: np.ndarray | None,
    kappa: np.ndarray,
    params: Params,
) -> tuple[np.ndarray, np.ndarray]:
    """Template ids in ascending order, and a row for each, float32 [T, d], not normalised.

    Args:
        embedding, mirrored: raw, float32 [n, d], of the images and of their mirror images.
        templates: which of the n images belong to which template.
        norm: lengths of `embedding`; not used here.
        kappa: concentration of each image, float32 [n], > 0.
        params: as above.
    """
    mirrored = mirrored if params.flip else None
    group = templates.medium if params.media else templates.template
    own = np.asarray(kappa, np.float64).reshape(-1)[templates.image]
    share = own / np.bincount(group, weights=own)[group]
    weight = share / lengths(embedding, mirrored)[templates.image]
    return templates.ids, pool(templates, embedding, mirrored, weight)


def confidence(
    embedding: np.ndarray,
    mirrored: np.ndarray | None,
    templates: Templates,
    kappa: np.ndarray,
    params: Params,
) -> tuple[str, np.ndarray]:
    """`fused_kappa` and the concentration of each template, float32 [T]; 0 without any image.

    The product of von Mises-Fisher densities has the concentration |sum of kappa mu|.
    """
    own = np.asarray(kappa, np.float64).reshape(-1)[templates.image]
    if params.independent:
        mirrored = mirrored if params.flip else None
        weight = own / lengths(embedding, mirrored)[templates.image]
        fused = np.linalg.norm(pool(templates, embedding, mirrored, weight), axis=1)
    else:
        fused = np.zeros(len(templates.ids))
        np.maximum.at(fused, templates.template, own)
    return "fused_kappa", fused.astype(np.float32)
