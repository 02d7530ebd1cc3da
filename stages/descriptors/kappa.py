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
    """

    flip: bool = True
    media: bool = False


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
