"""Embeddings parallel to a class centre: the reference's gradient is NaN, ours never."""

import numpy as np

from stages.losses import magface
from tests.goldens import golden
from tests.losses.batches import run


@golden("magface/magface_nan_cases*.npz")
def test_finite_everywhere_and_equal_where_the_reference_is(file):
    z = np.load(file)
    x, centres = z["x"].astype(np.float32), z["W"].T
    margin = magface.build(magface.Params())
    assert z["grad_x_is_nan"].any()
    for i in range(len(x)):
        batch = run(margin, x[i : i + 1], centres, z["target"][i : i + 1])
        assert np.isfinite(batch.embedding).all()
        assert np.isfinite(batch.centres).all()
        np.testing.assert_allclose(batch.loss.classification, z["loss_id"][i], atol=1e-5)
        if not z["grad_x_is_nan"][i]:
            np.testing.assert_allclose(batch.embedding[0], z["grad_x"][i], rtol=1e-5, atol=1e-7)
