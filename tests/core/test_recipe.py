from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from stages.core.recipe import Recipe, Resampler
from stages.datasets._resize import RESAMPLERS
from tests.goldens import golden


def test_polynomial_warms_up_from_zero_and_ends_at_zero() -> None:
    recipe = Recipe(epochs=10, batch=8, lr=0.2, warmup_epochs=2)
    rates = [recipe.learning_rate(step, 5) for step in range(51)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.2)
    assert rates[30] == pytest.approx(0.2 * (1 - 20 / 40) ** 2)
    assert rates[50] == 0


def test_steps_fall_at_their_epochs() -> None:
    recipe = Recipe(epochs=25, batch=8, lr=0.1, decay="step", milestones=[10, 18, 22])
    by_epoch = [recipe.learning_rate(epoch * 7, 7) for epoch in (0, 9, 10, 17, 18, 22, 24)]
    np.testing.assert_allclose(by_epoch, [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-4, 1e-4])


@pytest.mark.golden
@golden("btnet/poly_lr*.npz")
def test_golden_poly_lr(file) -> None:
    stored = np.load(file)
    for name in (key for key in stored.files if f"{key}_args" in stored.files):
        base, total, warm = stored[f"{name}_args"]
        epochs = int(total)  # one step an epoch: epochs are steps
        recipe = Recipe(epochs=epochs, batch=2, lr=base, warmup_epochs=warm)
        ours = [recipe.learning_rate(step, 1) for step in range(len(stored[name]))]
        np.testing.assert_allclose(ours, stored[name], rtol=1e-9, atol=1e-12)


def test_resamplers_that_params_may_name_are_those_that_exist() -> None:
    assert set(get_args(Resampler)) == set(RESAMPLERS)
