from __future__ import annotations

import numpy as np
import torch

from stages.distill.losses import distillation
from stages.networks._staged import Pyramid


def test_both_terms_are_means_over_every_element() -> None:
    rng = np.random.default_rng(0)
    map_, taught = rng.normal(size=(2, 3, 4, 5, 5))
    embedding, target = rng.normal(size=(2, 3, 8))
    stages = tuple(torch.tensor(taught if stage == 3 else taught * 0) for stage in (1, 2, 3, 4))
    pyramid = Pyramid(torch.tensor(target), stages)
    losses = distillation(torch.tensor(map_), torch.tensor(embedding), pyramid, stage=3)
    np.testing.assert_allclose(losses.feature, ((map_ - taught) ** 2).sum() / map_.size)
    np.testing.assert_allclose(losses.embedding, ((embedding - target) ** 2).sum() / target.size)
