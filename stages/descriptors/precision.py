"""Unit embeddings weighted in each dimension by one over their variance (PFE).

Probabilistic Face Embeddings (Shi and Jain, ICCV 2019): the mean of a product of Gaussians.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages.core.params import Section
from stages.descriptors._pooling import Templates, lengths

IMAGES_A_BLOCK = 4096


class Params(Section):
    """
    flip: an image's mean is the direction of the sum of its embedding and its mirror image's.
    independent: the template's own variances, for likelihood scores, are those of the product of
        its images' densities; otherwise, as published, the smallest in each dimension, because
        frames of a video repeat each other.
    """

    flip: bool = True
    independent: bool = False


def describe(
    embedding: np.ndarray,
    mirrored: np.ndarray | None,
    templates: Templates,
    norm: np.ndarray | None,
    sigma2: np.ndarray,
    params: Params,
) -> tuple[np.ndarray, np.ndarray]:
    """Template ids in ascending order, and a row for each, float32 [T, d], not normalised.

    Args:
        embedding, mirrored: raw, float32 [n, d], of the images and of their mirror images.
        templates: which of the n images belong to which template.
        norm: lengths of `embedding`; not used here.
        sigma2: variances of each image, float32 [n, d], or [n, 1] for the same in all dimensions.
        params: as above.
    """
    mirrored = mirrored if params.flip else None
    length = lengths(embedding, mirrored)
    rows = np.zeros((len(templates.ids), embedding.shape[1]))
    precisions = np.zeros((len(templates.ids), sigma2.shape[1]))
    for image, template in _blocks(templates):
        vectors = embedding[image] if mirrored is None else embedding[image] + mirrored[image]
        precision = 1 / sigma2[image].astype(np.float64)
        np.add.at(rows, template, precision * vectors / length[image][:, None])
        np.add.at(precisions, template, precision)
    precisions[precisions == 0] = 1
    return templates.ids, (rows / precisions).astype(np.float32)


def confidence(
    embedding: np.ndarray,
    mirrored: np.ndarray | None,
    templates: Templates,
    sigma2: np.ndarray,
    params: Params,
) -> tuple[str, np.ndarray]:
    """`fused_sigma2` and the variances of each template, float32 [T, d] or [T, 1].

    A template without any image has the largest variances of all images.
    """
    shape = (len(templates.ids), sigma2.shape[1])
    largest = sigma2.max(axis=0, initial=np.finfo(np.float32).tiny).astype(np.float64)
    if params.independent:
        precisions = np.zeros(shape)
        for image, template in _blocks(templates):
            np.add.at(precisions, template, 1 / sigma2[image].astype(np.float64))
        return "fused_sigma2", (1 / np.maximum(precisions, 1 / largest)).astype(np.float32)
    fused = np.tile(largest.astype(np.float32), (shape[0], 1))
    for image, template in _blocks(templates):
        np.minimum.at(fused, template, sigma2[image])
    return "fused_sigma2", fused


def _blocks(templates: Templates) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and templates of a few entries at a time."""
    for start in range(0, len(templates.image), IMAGES_A_BLOCK):
        some = slice(start, start + IMAGES_A_BLOCK)
        yield templates.image[some], templates.template[some]
