"""Embeddings parallel to a class centre: the reference's gradient is NaN, ours never."""

from functools import partial

import numpy as np

from stages.losses import magface
from tests.goldens import golden
from tests.losses.batches import results, run
from tests.rounding import bounds, hold, within


@golden("magface/magface_nan_cases*.npz")
def test_finite_everywhere_and_equal_where_the_reference_is(file):
    z = np.load(file)
    x, centres = z["x"].astype(np.float32), z["W"].T
    margin = magface.build(magface.Params())
    assert z["grad_x_is_nan"].any()
    for i in range(len(x)):
        one = slice(i, i + 1)
        batch = run(margin, x[one], centres, z["target"][one])
        assert np.isfinite(batch.embedding).all()
        assert np.isfinite(batch.centres).all()
        compute = partial(results, margin, x[one], centres, z["target"][one])
        if z["grad_x_is_nan"][i]:  # where the angle's derivative is infinite
            found = bounds(compute)["classification"]
            within(found, z["loss_id"][i], f"row {i}: float64 and the reference")
            within(found, batch.loss.classification, f"row {i}: float64 and float32")
        else:
            expected = {"classification": z["loss_id"][i], "x": z["grad_x"][one]}
            hold(compute, expected, f"row {i}")
