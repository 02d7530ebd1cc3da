"""Loss scale, clipping and what stops a training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.core import gradients, ranks
from stages.core.gradients import Descent, DivergedError, LossScale
from stages.core.optim import build_optimizer
from stages.core.schedule import Schedule
from tests.groups import on_ranks

RECIPE = Schedule(epochs=1, batch=2, lr=0.5, momentum=0, weight_decay=0)
OVERFLOW = 2.0**112  # a loss of this slope is infinite in float32 when scaled by 2^16


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([3.0, 4.0]))


def descend(
    point: nn.Module, slope: float, clip: float | None = None, scale: LossScale | None = None
) -> bool:
    """One step down the plane slope * (x + y)."""
    modules = {"network": point}
    descent = Descent("toy", modules, build_optimizer(RECIPE, modules), clip, scale)
    descent.begin()
    loss = slope * point.at.sum()
    descent.backward(loss, last=True)
    return descent.move({"loss": loss.detach()}, iteration=7)


def test_scaled_steps_are_unscaled_ones() -> None:
    points, scale = [Point(), Point()], LossScale()
    assert descend(points[0], 2.0, clip=1.0)
    assert descend(points[1], 2.0, clip=1.0, scale=scale)
    assert torch.equal(points[0].at, points[1].at)
    expected = torch.tensor([3.0, 4.0]) - 0.5 / 2**0.5  # gradient (2, 2), clipped to length 1
    torch.testing.assert_close(points[0].at.detach(), expected)
    assert scale.state() == {"factor": 2.0**16, "steps": 1}


def test_an_overflow_leaves_the_step_out_and_halves_the_scale() -> None:
    point, scale = Point(), LossScale()
    scale.steps = 5
    assert not descend(point, OVERFLOW, scale=scale)
    assert torch.equal(point.at, torch.tensor([3.0, 4.0]))
    assert scale.state() == {"factor": 2.0**15, "steps": 0}


def test_overflow_at_the_smallest_scale_is_a_divergence() -> None:
    scale = LossScale()
    scale.factor = 2 * LossScale.MINIMUM
    slope = 2.0**125  # the loss is finite, its double's gradient too, but not that one's length
    assert not descend(Point(), slope, scale=scale)
    with pytest.raises(DivergedError, match="toy: not finite at step 7: length of the gradient"):
        descend(Point(), slope, scale=scale)


def test_a_loss_that_is_nan_is_a_divergence_at_any_scale() -> None:
    scale = LossScale()
    with pytest.raises(DivergedError, match="toy: not finite at step 7: loss"):
        descend(Point(), float("nan"), scale=scale)
    assert scale.factor == LossScale.INITIAL


def test_the_scale_doubles_after_many_good_steps_and_survives_a_checkpoint() -> None:
    scale = LossScale()
    for _ in range(LossScale.GROWTH_STEPS - 1):
        scale.grow()
    resumed = LossScale()
    resumed.load(scale.state())
    resumed.grow()
    assert resumed.state() == {"factor": 2.0**17, "steps": 0}


@pytest.mark.parametrize("sharded", [False, True])
def test_class_centres_are_neither_clipped_nor_counted(sharded) -> None:
    modules = {"network": Point(), "classifier": Point()}
    modules["classifier"].at.sharded = sharded
    descent = Descent("toy", modules, build_optimizer(RECIPE, modules), 1.0, None)
    descent.begin()
    loss = modules["network"].at[0] * 0.8 + modules["classifier"].at[0] * 30
    descent.backward(loss, last=True)
    descent.move({"loss": loss.detach()}, 0)
    torch.testing.assert_close(modules["network"].at.detach(), torch.tensor([2.6, 4.0]))
    torch.testing.assert_close(modules["classifier"].at.detach(), torch.tensor([-12.0, 4.0]))


@pytest.mark.parametrize("sharded", [False, True])
def test_class_centres_are_clipped_with_the_others_where_the_recipe_says_so(sharded) -> None:
    modules = {"network": Point(), "classifier": Point()}
    modules["classifier"].at.sharded = sharded
    descent = Descent("toy", modules, build_optimizer(RECIPE, modules), 1.0, None, True)
    descent.begin()
    loss = modules["network"].at[0] * 3 + modules["classifier"].at[0] * 4
    descent.backward(loss, last=True)
    descent.move({"loss": loss.detach()}, 0)  # a gradient of length 5, clipped to 1
    torch.testing.assert_close(modules["network"].at.detach(), torch.tensor([2.7, 4.0]))
    torch.testing.assert_close(modules["classifier"].at.detach(), torch.tensor([2.6, 4.0]))


def test_the_tensor_nearest_to_the_loss_is_named() -> None:
    """Backward carries NaN from there to all before it."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
    modules = {"network": network}
    descent = Descent("toy", modules, build_optimizer(RECIPE, modules), None, None)
    descent.begin()
    hidden = network[1](network[0](torch.ones(1, 2)))
    loss = network[2](hidden).sum() + 0 * (hidden - hidden.detach()).abs().sqrt().sum()
    descent.backward(loss, last=True)
    with pytest.raises(DivergedError, match="gradient of network.1.bias"):
        descent.move({"loss": loss.detach()}, 0)


@pytest.mark.parametrize("clip_centres", [False, True])
@pytest.mark.parametrize("name", ["network", "classifier"])
def test_nan_in_the_gradient_of_one_module_alone_is_a_divergence(name, clip_centres) -> None:
    modules = {"network": Point(), "classifier": Point()}
    optimizer = build_optimizer(RECIPE, modules)
    descent = Descent("toy", modules, optimizer, 1.0, None, clip_centres)
    descent.begin()
    loss = sum(point.at.sum() for point in modules.values())
    zero = modules[name].at - modules[name].at.detach()
    loss = loss + 0 * zero.abs().sqrt().sum()  # 0, with slope NaN
    descent.backward(loss, last=True)
    with pytest.raises(DivergedError, match=f"gradient of {name}.at"):
        descent.move({"loss": loss.detach()}, 0)
    assert all(torch.equal(point.at, torch.tensor([3.0, 4.0])) for point in modules.values())


def test_a_clipped_step_knows_the_centres_of_the_scaled_loss() -> None:
    """A gradient of length 5 in both: clipped to 1 with and without the factor of float16."""
    for scale in (None, LossScale()):
        modules = {"network": Point(), "classifier": Point()}
        modules["classifier"].at.sharded = True
        descent = Descent("toy", modules, build_optimizer(RECIPE, modules), 1.0, scale, True)
        descent.begin()
        loss = modules["network"].at[0] * 3 + modules["classifier"].at[0] * 4
        descent.backward(loss, last=True)
        assert descent.move({"loss": loss.detach()}, 0)
        moved = [3 - point.at[0].item() for point in modules.values()]
        assert moved == pytest.approx([0.3, 0.4], rel=1e-5)


def test_buckets_are_of_one_type_and_no_larger_than_they_may_be(monkeypatch) -> None:
    """Four bytes a number of float32, eight of float64; the last parameters first."""
    monkeypatch.setattr(gradients, "BUCKET_BYTES", 16)
    kinds = [(9, torch.float32), (2, torch.float32), (1, torch.float64), (1, torch.float64)]
    kinds += [(1, torch.float32), (1, torch.float32), (3, torch.float32)]
    parameters = [nn.Parameter(torch.zeros(count, dtype=dtype)) for count, dtype in kinds]
    place = {id(parameter): number for number, parameter in enumerate(parameters)}
    found = [[place[id(each)] for each in bucket] for bucket in gradients._buckets(parameters)]
    assert found == [[6, 5], [4], [3, 2], [1], [0]]


def two_backwards() -> list[float]:
    """Each of a slope of its own: 1 and 10 on the first rank, 2 and 20 on the second, and so on."""
    modules = {"network": Point()}
    descent = Descent("toy", modules, build_optimizer(RECIPE, modules), None, None)
    for _ in range(2):  # the second step does not count what the first one did
        descent.begin()
        for slope, last in ((1, False), (10, True)):
            descent.backward(slope * (ranks.rank() + 1) * modules["network"].at.sum(), last)
    return modules["network"].at.grad.tolist()


def test_ranks_add_all_backwards_of_a_step_at_its_last(tmp_path) -> None:
    results = on_ranks(two_backwards, tmp_path)
    assert results == {1: [[11, 11]], 2: [[33, 33]] * 2, 3: [[66, 66]] * 3}
