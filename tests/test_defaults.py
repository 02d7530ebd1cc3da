"""Settings nobody states: those of the papers and of their code."""

from __future__ import annotations

import inspect

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from stages.core.contract import InputContract
from stages.core.schedule import Schedule
from stages.descriptors import coreset as coreset_descriptor
from stages.descriptors import precision
from stages.heads import coreset, pfe_g, scf
from stages.losses import (
    adaface,
    arcface,
    cosface,
    curricularface,
    mag_cosface,
    magface,
    softmax,
)
from stages.losses._classifier import Classifier

RECIPE = {"epochs": 1, "batch": 2, "lr": 0.1}
BOUNDS = {"scale": 64, "l_a": 10, "u_a": 110}
# What is not said is left open: the rest of a head's schedule stands in recipes/.
SETTINGS = {
    "softmax": (softmax.Params(), {"scale": 64}),
    "ArcFace": (arcface.Params(), {"scale": 64, "margin": 0.5, "easy": False}),
    "CosFace": (cosface.Params(), {"scale": 64, "margin": 0.35}),
    "CurricularFace": (curricularface.Params(), {"scale": 64, "margin": 0.5}),
    "AdaFace": (
        adaface.Params(),
        {"scale": 64, "margin": 0.4, "concentration": 0.333, "t_alpha": 0.01},
    ),
    "MagFace": (magface.Params(), BOUNDS | {"l_m": 0.45, "u_m": 0.8, "lambda_g": 35, "easy": True}),
    "Mag-CosFace": (mag_cosface.Params(), BOUNDS | {"l_m": 0.35, "u_m": 0.8, "lambda_g": 150}),
    "SCF": (scf.Params(**RECIPE), {"radius": 64, "floor": 1e-6, "guard": 0}),
    "PFE-G": (pfe_g.Params(**RECIPE), {"images": 4, "floor": 1e-6}),
    "FaceCoresetNet": (
        coreset.Params(**RECIPE),
        {"points": 3, "dropout": 0.1, "largest": 20, "learn_gamma": True},
    ),
    "FaceCoresetNet's AdaFace": (
        coreset.Params(**RECIPE).adaface,
        {"scale": 48, "margin": 0.8, "concentration": 0.333, "t_alpha": 0.01},
    ),
    "PFE's fusion": (precision.Params(), {"independent": False}),
    "FaceCoresetNet's templates": (coreset_descriptor.Params(), {"flip": False}),
    "recipe": (
        Schedule(**RECIPE),
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "power": 2, "epoch_share": 1}
        | {"decay": "polynomial", "clip": None, "clip_centres": False},
    ),
    "augmentation": (Schedule(**RECIPE).augment, {"flip": 0.5, "rand_augment": 0}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_are_the_papers(name: str) -> None:
    params, expected = SETTINGS[name]
    assert isinstance(params, BaseModel)
    assert {key: getattr(params, key) for key in expected} == expected


def test_augmentations_are_off_but_for_the_mirror() -> None:
    steps = Schedule(**RECIPE).augment.model_dump(exclude={"flip", "resolutions"})
    assert set(steps.values()) == {0}


def test_a_model_is_fed_as_insightfaces_are() -> None:
    contract = InputContract()
    assert (contract.mean, contract.scale, contract.colour) == (127.5, 127.5, "rgb")
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)  # red, green, blue
    found = contract.normalise(levels).flatten()
    torch.testing.assert_close(found, torch.tensor([-1.0, -0.6, 1.0]))


def test_a_classifier_takes_all_centres_and_draws_them_normal() -> None:
    defaults = inspect.signature(Classifier).parameters
    assert defaults["sample_rate"].default == 1
    assert defaults["initial"].default == "normal"
    assert defaults["spheres"].default == 1


def test_pfes_layers_are_those_of_its_code() -> None:
    """BN with scale and centre, BN without, both of eps 1e-3; then 1e-4 x - 7."""
    head = pfe_g.build(pfe_g.Params(**RECIPE), (2, 3, 3), 8)
    norms = [layer for layer in head.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert [(norm.eps, norm.affine) for norm in norms] == [(1e-3, True), (1e-3, False)]
    assert (head.gain.item(), head.offset.item()) == (pytest.approx(1e-4), -7)
