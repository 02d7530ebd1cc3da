"""The features that a protocol scores, by the rows of its table.

A row of BTNet's tables is a setting `r1&r2`: one side of every comparison is seen at r1 pixels, the
other at r2. A user's own protocol takes its vectors from here and needs to know no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

Read = Callable[[str, str], np.ndarray]
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows of both sides -> float32 [pairs]


@dataclass(frozen=True)
class Likelihood:
    """A score of two uncertain faces.

    Attributes:
        model: that of the head.
        confidence: array of the images' confidences; `fused_<confidence>` is that of templates.
        descriptor: that whose direction is a template's.
        score: (vectors [n, d], confidences [n] or [n, d]) -> a score of pairs of rows.
    """

    model: str
    confidence: str
    descriptor: str
    score: Callable[[np.ndarray, np.ndarray], Score]


@dataclass(frozen=True)
class Rows:
    """What is compared in each row.

    Attributes:
        read: array `name` of a model's features, as in docs/architecture.md (`embedding`, ..).
        settings: row -> (model of the first side, model of the second side).
        sizes: resolution in pixels -> the model that embeds images of that size.
        upsampled: resolution -> the model of images shrunk to it and enlarged again.
        descriptors: row -> (model, descriptor) of the template descriptors to score.
        heads: row -> (model, array) of a confidence beside the norm.
        fuse: (model at r1, model at r2, descriptor) -> descriptors [templates, d] of images that
            each enter as the sum of their r1 copy and their mirrored r2 copy.
        likelihoods: row -> how the score of two faces follows from vectors and confidences.
        external: row -> model of embeddings that were computed elsewhere; `settings` has them too.
    """

    read: Read
    settings: dict[str, tuple[str, str]]
    sizes: dict[int, str]
    upsampled: dict[int, str]
    descriptors: dict[str, tuple[str, str]]
    heads: dict[str, tuple[str, str]]
    fuse: Callable[[str, str, str], np.ndarray] | None = None
    likelihoods: dict[str, Likelihood] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)

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
        `descriptor`. `fused`: on both sides every image enters as the sum of its r1 copy and its
        mirrored r2 copy, as BTNet scores IJB-C; for r1 = r2 that is the descriptor as it is.
        """
        for row, (model, name) in self.descriptors.items():
            rows = self.read(model, f"descriptor_{name}")
            yield row, rows, rows
        for row, (first, second) in self.settings.items():
            if "pixels" in (first, second):  # no descriptors: a template is more than an image
                continue
            if fused and first != second:
                left = right = self.fuse(first, second, descriptor)
            else:
                left = self.read(first, f"descriptor_{descriptor}")
                right = left if first == second else self.read(second, f"descriptor_{descriptor}")
            yield row, left, right

    def image_scores(self, flip: bool) -> Iterator[tuple[str, Score]]:
        """Row and score of pairs of images, of the rows that are no cosines."""
        for row, one in self.likelihoods.items():
            vectors = self._image_vectors(self.sizes[max(self.sizes)], flip)
            yield row, one.score(vectors, self.read(one.model, one.confidence))

    def template_scores(self) -> Iterator[tuple[str, Score]]:
        """Row and score of pairs of templates, of the rows that are no cosines."""
        for row, one in self.likelihoods.items():
            vectors = self.read(one.model, f"descriptor_{one.descriptor}")
            yield row, one.score(vectors, self.read(one.model, f"fused_{one.confidence}"))
