"""Groups of parameters, their rates and weight decay, against updates computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.core.optim import build_optimizer, set_learning_rate, trained_parameters
from stages.core.schedule import Schedule

BASE = {"epochs": 1, "batch": 2, "lr": 0.1, "weight_decay": 4e-4}


class Centres(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.ones(3, 2))


def modules() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4))
    network = nn.Sequential(convolution, nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
    return {"network": network.append(nn.BatchNorm1d(2)), "classifier": Centres()}


def decays(schedule: Schedule, parts: dict[str, nn.Module]) -> dict[str, float]:
    optimizer = build_optimizer(schedule, parts)
    return {
        name: group["weight_decay"]
        for group in optimizer.param_groups
        for name in group["param_names"]
    }


def test_one_group_where_all_parameters_are_alike() -> None:
    parts = modules()
    optimizer = build_optimizer(Schedule(**BASE), parts)
    (group,) = optimizer.param_groups
    assert group["weight_decay"] == 4e-4
    assert group["param_names"] == list(trained_parameters(parts))
    assert list(map(id, group["params"])) == list(map(id, trained_parameters(parts).values()))


def test_batch_norm_may_go_without_weight_decay() -> None:
    found = decays(Schedule(**BASE, weight_decay_norm=0), modules())
    free = {name for name, decay in found.items() if decay == 0}
    norms = {"network.0.1.weight", "network.0.1.bias", "network.4.weight", "network.4.bias"}
    assert free == norms
    assert {decay for name, decay in found.items() if name not in norms} == {4e-4}


def test_centres_and_embedding_layer_may_decay_more_than_the_body() -> None:
    """MultiFace's MobileFaceNet: 4e-4, 4e-5, and 0 for BatchNorm."""
    found = decays(Schedule(**BASE, weight_decay_norm=0, weight_decay_body=4e-5), modules())
    strong = {name for name, decay in found.items() if decay == 4e-4}
    assert strong == {"network.3.weight", "classifier.centres"}
    assert found["network.0.0.weight"] == found["network.0.2.weight"] == 4e-5
    assert found["network.2.weight"] == found["network.3.bias"] == 4e-5
    assert found["network.0.1.weight"] == found["network.4.bias"] == 0


def test_gamma_has_a_rate_of_its_own_and_no_weight_decay() -> None:
    head = nn.Linear(2, 2)
    head.gamma = nn.Parameter(torch.tensor(0.01))
    schedule = Schedule(**BASE | {"optimizer": "adamw", "gamma_lr": 0.02})
    optimizer = build_optimizer(schedule, {"head": head})
    rates = {group["lr"]: group["param_names"] for group in optimizer.param_groups}
    assert rates == {0.02: ["head.gamma"], 0.1: ["head.weight", "head.bias"]}
    set_learning_rate(optimizer, 0.01)
    after = sorted((group["lr"], group["weight_decay"]) for group in optimizer.param_groups)
    assert after == [(pytest.approx(0.002), 0), (pytest.approx(0.01), 4e-4)]


def test_gamma_is_known_by_the_last_part_of_its_name() -> None:
    inner, outer = nn.Module(), nn.Module()
    inner.gamma, inner.my_gamma = (nn.Parameter(torch.ones(1)) for _ in range(2))
    outer.aggregate, outer.weight = inner, nn.Parameter(torch.ones(1))
    schedule = Schedule(**BASE | {"gamma_lr": 0.02})
    optimizer = build_optimizer(schedule, {"head": outer})
    rates = {group["lr"]: set(group["param_names"]) for group in optimizer.param_groups}
    assert rates == {
        0.02: {"head.aggregate.gamma"},
        0.1: {"head.aggregate.my_gamma", "head.weight"},
    }


def test_frozen_parameters_are_left_out() -> None:
    parts = modules()
    parts["classifier"].requires_grad_(False)
    parts["network"][4].weight.requires_grad_(False)
    names = set(decays(Schedule(**BASE), parts))
    assert not {"classifier.centres", "network.4.weight"} & names
    assert "network.4.bias" in names


@pytest.mark.parametrize("momentum", [0.9, 0.5])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_two_steps_by_hand(name: str, momentum: float) -> None:
    """sgd: v = momentum v + g, w -= lr v. adam: bias-corrected moments, of no such setting.
    g includes wd w but in adamw."""
    start, gradients, decay, lr = 2.0, [0.3, -0.5], 0.1, 0.01
    toy = nn.Module()
    toy.w = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    settings = {"optimizer": name, "momentum": momentum, "weight_decay": decay}
    optimizer = build_optimizer(Schedule(epochs=1, batch=2, lr=lr, **settings), {"toy": toy})
    w = start
    first = second = 0.0
    for step, own in enumerate(gradients, start=1):
        toy.w.grad = torch.tensor([own], dtype=torch.float64)
        optimizer.step()
        g = own if name == "adamw" else own + decay * w
        if name == "sgd":
            first = momentum * first + g
            w -= lr * first
        else:
            if name == "adamw":
                w -= lr * decay * w
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
            w -= lr * mean / (square**0.5 + 1e-8)
    assert toy.w.item() == pytest.approx(w, rel=1e-12)


def test_state_comes_back_by_group() -> None:
    parts = modules()
    schedule = Schedule(**BASE, weight_decay_norm=0)
    optimizer = build_optimizer(schedule, parts)
    for value in trained_parameters(parts).values():
        value.grad = torch.ones_like(value)
    optimizer.step()
    other = build_optimizer(schedule, parts)
    other.load_state_dict(optimizer.state_dict())
    assert [g["share"] for g in other.param_groups] == [1, 1]
    assert [g["param_names"] for g in other.param_groups] == [
        g["param_names"] for g in optimizer.param_groups
    ]
