from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from stages.core.schedule import Resampler, Schedule
from stages.datasets._resize import RESAMPLERS
from tests.goldens import golden


def test_polynomial_warms_up_from_zero_and_ends_at_zero() -> None:
    schedule = Schedule(epochs=10, batch=8, lr=0.2, warmup_epochs=2)
    rates = [schedule.learning_rate(step, 5) for step in range(51)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.2)
    assert rates[30] == pytest.approx(0.2 * (1 - 20 / 40) ** 2)
    assert rates[50] == 0


@pytest.mark.parametrize(("power", "middle"), [(1, 0.1), (2, 0.05), (3, 0.025)])
def test_the_polynomial_has_the_power_of_the_recipe(power: float, middle: float) -> None:
    schedule = Schedule(epochs=10, batch=8, lr=0.2, power=power)
    rates = [schedule.learning_rate(step, 1) for step in (0, 5, 10)]
    np.testing.assert_allclose(rates, [0.2, middle, 0], atol=1e-15)


def test_cosine_falls_from_the_rate_to_zero() -> None:
    schedule = Schedule(epochs=10, batch=8, lr=0.2, decay="cosine")
    rates = [schedule.learning_rate(step, 1) for step in (0, 5, 10)]
    np.testing.assert_allclose(rates, [0.2, 0.1, 0], atol=1e-15)
    warm = schedule.model_copy(update={"warmup_epochs": 4})
    rates = [warm.learning_rate(step, 1) for step in (2, 4, 6, 7, 8)]  # half at 60 degrees less
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.15, 0.1, 0.05])


def test_steps_fall_at_their_epochs() -> None:
    schedule = Schedule(epochs=25, batch=8, lr=0.1, decay="step", milestones=[10, 18, 22])
    by_epoch = [schedule.learning_rate(epoch * 7, 7) for epoch in (0, 9, 10, 17, 18, 22, 24)]
    np.testing.assert_allclose(by_epoch, [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-4, 1e-4])


def test_periodic_falls_every_so_many_epochs() -> None:
    """SCF: StepLR of 2 epochs and 0.5, which ends 30 epochs at 3e-5 / 2^14."""
    schedule = Schedule(epochs=30, batch=8, lr=3e-5, decay="periodic", period=2, factor=0.5)
    by_epoch = [schedule.learning_rate(epoch * 7, 7) for epoch in (0, 1, 2, 3, 4, 29)]
    np.testing.assert_allclose(by_epoch, [3e-5, 3e-5, 1.5e-5, 1.5e-5, 7.5e-6, 3e-5 / 2**14])
    assert schedule.learning_rate(13, 7) == 3e-5
    assert schedule.learning_rate(14, 7) == 1.5e-5


def test_constant_stays_after_the_warm_up_in_steps() -> None:
    schedule = Schedule(epochs=3, batch=8, lr=0.1, decay="constant", warmup_steps=4)
    rates = [schedule.learning_rate(step, 7) for step in range(21)]
    np.testing.assert_allclose(rates, [0, 0.025, 0.05, 0.075] + [0.1] * 17)


def test_an_epoch_may_be_a_share_of_the_batches() -> None:
    """FaceCoresetNet: a tenth of the batches, whole ones, and at least one."""
    whole, tenth = (Schedule(epochs=1, batch=20, lr=0.1, epoch_share=s) for s in (1.0, 0.1))
    assert (whole.steps_per_epoch(401), whole.steps_per_epoch(400)) == (21, 20)
    assert [tenth.steps_per_epoch(rows) for rows in (40, 400, 520, 599, 600)] == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"warmup_epochs": 1, "warmup_steps": 5}, "exclude each other"),
        ({"decay": "step"}, "needs milestones"),
        ({"decay": "step", "milestones": [8, 4]}, "must rise"),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Schedule(epochs=10, batch=8, lr=0.1, **settings)


@pytest.mark.golden
@golden("btnet/poly_lr*.npz")
def test_golden_poly_lr(file) -> None:
    stored = np.load(file)
    for name in (key for key in stored.files if f"{key}_args" in stored.files):
        base, total, warm = stored[f"{name}_args"]
        epochs = int(total)  # one step an epoch: epochs are steps
        schedule = Schedule(epochs=epochs, batch=2, lr=base, warmup_epochs=warm)
        ours = [schedule.learning_rate(step, 1) for step in range(len(stored[name]))]
        np.testing.assert_allclose(ours, stored[name], rtol=1e-9, atol=1e-12)


def test_resamplers_that_params_may_name_are_those_that_exist() -> None:
    assert set(get_args(Resampler)) == set(RESAMPLERS)
