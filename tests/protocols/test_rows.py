"""What the rows of a table read."""

from __future__ import annotations

import numpy as np

from stages.protocols._rows import Likelihood
from tests.protocols import made


def test_likelihoods_of_images_are_of_embeddings_at_full_size() -> None:
    names = ("trunk/embedding", "trunk/mirrored", "branch_7/embedding", "branch_7/mirrored")
    arrays = {name: np.array([[10.0**k]]) for k, name in enumerate(names)}
    likelihood = Likelihood("head", "kappa", "kappa", lambda mu, kappa: (mu[0, 0], kappa[0]))
    rows = made.rows(
        arrays | {"head/kappa": np.array([5.0])},
        sizes={7: "branch_7", 112: "trunk"}, likelihoods={"likelihood head": likelihood},
    )  # fmt: skip
    assert list(rows.image_scores(flip=True)) == [("likelihood head", (11, 5))]
    assert list(rows.image_scores(flip=False)) == [("likelihood head", (1, 5))]
