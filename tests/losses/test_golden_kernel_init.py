"""MultiFace's first centres: uniform, then of length 1."""

import numpy as np
import torch

from stages.losses._classifier import to_unit_length
from tests.goldens import golden
from tests.rounding import hold

RENORM_FLOOR = 1e-7  # torch.renorm's


@golden("multiface/kernel_init*.npz")
def test_unit_length(file):
    z = np.load(file)

    def compute(dtype: torch.dtype) -> dict:
        centres = torch.tensor(z["uniform"].T, dtype=dtype)
        to_unit_length(centres, spheres=1)
        return {"centres": centres, "lengths": centres.norm(dim=1)}

    # The reference divides by the length plus RENORM_FLOOR.
    length = np.linalg.norm(z["uniform"].astype(np.float64), axis=0)
    larger = (length + RENORM_FLOOR) / length
    expected = {"centres": (z["after"] * larger).T, "lengths": z["col_norm"] * larger}
    hold(compute, expected)
