"""MultiFace's first centres: uniform, then of length 1."""

import numpy as np
import torch

from stages.losses._classifier import to_unit_length
from tests.goldens import golden


@golden("multiface/kernel_init*.npz")
def test_unit_length(file):
    z = np.load(file)
    centres = torch.from_numpy(z["uniform"]).T.contiguous()
    to_unit_length(centres, spheres=1)
    np.testing.assert_allclose(centres.T, z["after"], atol=1e-6)
    np.testing.assert_allclose(centres.norm(dim=1), z["col_norm"], atol=1e-6)
