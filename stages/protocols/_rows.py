"""The features that a protocol scores, by the rows of its table.

A row of BTNet's tables is a setting `r1&r2`: one side of every comparison is seen at r1 pixels, the
other at r2. A user's own protocol takes its vectors from here and needs to know no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Read = Callable[[str, str], np.ndarray]


@dataclass(frozen=True)
class Rows:
    """What is compared in each row.

    Attributes:
        read: array `name` of a model's features, as in docs/architecture.md (`embedding`, ..).
        settings: row -> (model of the first side, model of the second side).
        sizes: resolution in pixels -> the model that embeds images of that size.
        upsampled: resolution -> the model of images shrunk to it and enlarged again.
        descriptors: row -> (model, descriptor) of the template descriptors to score.
        heads: row -> model whose `kappa` is a confidence.
    """

    read: Read
    settings: dict[str, tuple[str, str]]
    sizes: dict[int, str]
    upsampled: dict[int, str]
    descriptors: dict[str, tuple[str, str]]
    heads: dict[str, str]

    def images(self, flip: bool = True) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Row, first-side and second-side vectors [n, d] of all images, raw.

        With `flip`, the sum of the embeddings of the image and of its mirror image (flip test).
        """
        for row, (first, second) in self.settings.items():
            left = self._image_vectors(first, flip)
            yield row, left, left if first == second else self._image_vectors(second, flip)

    def _image_vectors(self, model: str, flip: bool) -> np.ndarray:
        embedding = self.read(model, "embedding")
        return embedding + self.read(model, "mirrored") if flip else embedding

    def templates(
        self, descriptor: str, fused: bool
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Row, first-side and second-side descriptors [templates, d], not normalised.

        First one row a descriptor, of images at full size, then one row a setting, by
        `descriptor`. `fused`: both sides hold the sum over r1 and r2, as BTNet scores IJB-C.
        """
        for row, (model, name) in self.descriptors.items():
            rows = self.read(model, f"descriptor_{name}")
            yield row, rows, rows
        for row, (first, second) in self.settings.items():
            if "pixels" in (first, second):  # no descriptors: a template is more than an image
                continue
            left = self.read(first, f"descriptor_{descriptor}")
            right = left if first == second else self.read(second, f"descriptor_{descriptor}")
            if fused:
                left = right = left + right
            yield row, left, right
