"""Each published schedule on its own kind of network: who decays how much, and two steps of it."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.check.code import ROOT
from stages.core.contract import InputContract
from stages.core.optim import build_optimizer, set_learning_rate, trained_parameters
from stages.core.params import read_params
from stages.core.schedule import Schedule
from stages.datasets._augment import augment, degrade, draws
from stages.losses._classifier import Classifier
from stages.networks import mobilefacenet
from tests.goldens import golden
from tests.networks.iresnets import shapes_of
from tests.networks.irs import multiface_network
from tests.published_schedules import published_schedules, used_by_recipes

SCHEDULES = read_params(ROOT / "params.yaml")["schedules"] | published_schedules()
CLASSES, EMBEDDING, BATCH = 6, 16, 4
# schedule -> network, its settings, and margin
TRUNKS = {
    "orl": ("iresnet", {"depth": 18}, "arcface"),
    "btnet_trunk": ("iresnet", {"depth": 18}, "curricularface"),
    "btnet_branch": ("iresnet", {"depth": 18}, "curricularface"),
    "btnet_surv": ("iresnet", {"depth": 18}, "curricularface"),
    "magface": ("iresnet", {"depth": 18, "flavour": "magface"}, "magface"),
    "multiface_mobile": ("mobilefacenet", {}, "cosface"),
    "multiface_irse": ("ir_se", {"depth": 50}, "arcface"),
    "adaface": ("ir", {"depth": 18}, "adaface"),
}
HEADS = {
    "scf": ("scf", {"hidden": [8]}),
    "pfe": ("pfe_g", {"hidden": [8]}),
    "facecoresetnet": ("coreset", {}),
}
MAP = [8, 7, 7]
LABELS = torch.tensor([0, 1, 2, 3])


def recipe(name: str) -> Schedule:
    return Schedule.model_validate(SCHEDULES[name])


def trunk(name: str) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    network, settings, loss = TRUNKS[name]
    family = importlib.import_module(f"stages.networks.{network}")
    margins = importlib.import_module(f"stages.losses.{loss}")
    shape = family.Params(width=0.125, embedding=EMBEDDING, **settings)
    classifier = Classifier(EMBEDDING, CLASSES, margins.build(margins.Params()))
    return {"network": family.build(shape).train(), "classifier": classifier.train()}


def head(name: str) -> nn.Module:
    torch.manual_seed(0)
    library, settings = HEADS[name]
    heads = importlib.import_module(f"stages.heads.{library}")
    params = heads.Params.model_validate(SCHEDULES[name] | settings)
    return heads.build(params, shape=MAP, embedding=EMBEDDING).train()


def test_every_schedule_is_tried() -> None:
    assert set(SCHEDULES) == set(TRUNKS) | set(HEADS)
    assert all(one in SCHEDULES.values() for one in used_by_recipes())


@pytest.mark.parametrize("name", TRUNKS)
def test_two_steps_of_a_trunk(name: str) -> None:
    parts, how = trunk(name), recipe(name)
    optimizer = build_optimizer(how, parts)
    before = {key: value.detach().clone() for key, value in trained_parameters(parts).items()}
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 112, 112, 3), np.uint8)
    for epoch in range(2):
        uniform = draws(0, "train", epoch, np.arange(BATCH))
        changed = degrade(pixels.copy(), uniform, how.augment, "pil_bilinear")
        batch = augment(InputContract().normalise(torch.from_numpy(changed)), uniform, how.augment)
        rate = how.learning_rate(1 + epoch, 2 * how.epochs)
        assert 0 < rate <= how.lr
        set_learning_rate(optimizer, rate)
        _descend(parts, optimizer, parts["classifier"](parts["network"](batch), LABELS).total, how)
    _all_moved(parts, before)


@pytest.mark.parametrize("name", HEADS)
def test_two_steps_of_a_head(name: str) -> None:
    parts, how = {"head": head(name)}, recipe(name)
    optimizer = build_optimizer(how, parts)
    before = {key: value.detach().clone() for key, value in trained_parameters(parts).items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(2):
        set_learning_rate(optimizer, how.learning_rate(step, 10))
        if name == "facecoresetnet":
            unit = nn.functional.normalize(torch.randn(3, 5, EMBEDDING, generator=generator), dim=2)
            told = parts["head"](
                unit, 20 + torch.rand(3, 5, generator=generator), torch.zeros(3, 3, 5)
            )
        else:
            told = parts["head"](torch.randn(BATCH, *MAP, generator=generator))
        _descend(parts, optimizer, told.square().mean(), how)
    _all_moved(parts, before)


def _descend(
    parts: dict[str, nn.Module], optimizer: Any, loss: torch.Tensor, how: Schedule
) -> None:
    assert torch.isfinite(loss)
    optimizer.zero_grad()
    loss.backward()
    if how.clip:
        nn.utils.clip_grad_norm_(trained_parameters(parts).values(), how.clip)
    optimizer.step()


def _all_moved(parts: dict[str, nn.Module], before: dict[str, torch.Tensor]) -> None:
    for key, value in trained_parameters(parts).items():
        assert torch.isfinite(value).all(), key
        if value.grad is not None and value.grad.any():
            assert not torch.equal(value, before[key]), key


def decays(name: str, parts: dict[str, nn.Module]) -> dict[str, float]:
    return {
        key: group["weight_decay"]
        for group in build_optimizer(recipe(name), parts).param_groups
        for key in group["param_names"]
    }


@pytest.mark.parametrize("name", ["btnet_trunk", "btnet_branch", "btnet_surv", "magface"])
def test_everything_decays_alike(name: str) -> None:
    assert set(decays(name, trunk(name)).values()) == {5e-4}


def test_everything_of_an_uncertainty_head_decays_alike() -> None:
    assert set(decays("scf", {"head": head("scf")}).values()) == {5e-4}


def test_gamma_alone_does_not_decay_in_facecoresetnet() -> None:
    optimizer = build_optimizer(recipe("facecoresetnet"), {"head": head("facecoresetnet")})
    assert isinstance(optimizer, torch.optim.AdamW)
    free = [group for group in optimizer.param_groups if group["weight_decay"] == 0]
    assert [(group["param_names"], group["lr"]) for group in free] == [(["head.gamma"], 1e-4)]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0, 1e-3}


def test_adaface_spares_the_norms_alone() -> None:
    parts = trunk("adaface")
    norms = {
        f"network.{path}.{key}"
        for path, module in parts["network"].named_modules()
        if "BatchNorm" in type(module).__name__
        for key, _ in module.named_parameters()
    }
    found = decays("adaface", parts)
    assert {key for key, decay in found.items() if decay == 0} == norms
    assert found["classifier.centres"] == 5e-4
    assert set(found.values()) == {0, 5e-4}


@golden("multiface/net_*.npz")
def test_golden_multiface_groups(file) -> None:
    """The reference's lists of parameters with and without weight decay, in order."""
    z = np.load(file)
    shapes = dict(zip(map(str, z["keys"]), shapes_of(z["shapes"]), strict=True))
    with torch.device("meta"):
        network = multiface_network(shapes)
    mobile = isinstance(network, mobilefacenet.MobileFaceNet)
    found = decays("multiface_mobile" if mobile else "multiface_irse", {"network": network})
    names = network.published_names()
    theirs = {names[key]: found[f"network.{key}"] for key, _ in network.named_parameters()}
    spared = [key for key, decay in theirs.items() if decay == 0]
    others = {key: decay for key, decay in theirs.items() if decay > 0}
    for name, ours in (("bn_param_names", spared), ("wo_bn_param_names", list(others))):
        if name in z:
            assert ours == list(z[name])
    last = list(others)[-1]
    assert others.pop(last) == (4e-4 if mobile else 5e-4)
    assert set(others.values()) == {4e-5 if mobile else 5e-4}
