"""From the reference implementations' own lists of tensors: which network it is.

At their full sizes; each tensor is one number seen many times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from stages.train.import_files import Checkpoint
from stages.train.import_network import find_network
from stages.train.import_set_head import find_set_head
from stages.train.import_systems import SYSTEMS
from tests.goldens import golden
from tests.networks.iresnets import shapes_of

WRAPPED = "state_dict.module."


def found(system: str, file: Path, named: Iterable[tuple[str, tuple[int, ...]]]) -> dict:
    """Settings of the network that is found, which must use every tensor."""
    tensors = {WRAPPED + name: torch.ones(()).expand(tuple(shape)) for name, shape in named}
    network = find_network(Checkpoint(file, tensors, []), SYSTEMS[system])
    assert network.used == tensors.keys()
    return network.family.describe(network.params)


def number(text: str) -> int:
    return int(re.search(r"\d+", text)[0])


@golden("adaface/keys_*.json")
def test_adaface(file):
    named = json.loads(file.read_text())
    settings = found("adaface", file, named)
    width = dict(named)["input_layer.0.weight"][0] / 64
    assert (settings["name"], settings["depth"], settings["width"]) == (
        "ir",
        number(file.stem),
        width,
    )


@golden("magface/iresnet_state_dict_keys*.json")
def test_magface(file):
    architectures = {k: v for k, v in json.loads(file.read_text()).items() if k != "rule"}
    for name, expected in architectures.items():
        keys = [key[:2] for key in expected["keys"]]
        settings = found("magface", file, keys)
        embedding = dict(keys)["fc.weight"][0]
        assert (settings["depth"], settings["embedding"]) == (number(name), embedding)


@golden("scf/scf_state_dict_keys*.json")
def test_scf(file):
    backbones = {k: v for k, v in json.loads(file.read_text()).items() if "Backbone" in k}
    for name, expected in backbones.items():
        settings = found("scf", file, [key[:2] for key in expected["keys"]])
        assert (settings["depth"], settings["se"]) == (number(name), name.endswith("_se"))


@golden("btnet/net_*_reso112_eval.npz")
def test_btnet(file):
    arrays = np.load(file)
    named = zip(arrays["keys"].tolist(), shapes_of(arrays["shapes"]), strict=True)
    assert found("btnet", file, named)["depth"] == number(file.stem)


@golden("multiface/net_*_eval.npz")
def test_multiface(file):
    arrays = np.load(file)
    named = zip(arrays["keys"].tolist(), shapes_of(arrays["shapes"]), strict=True)
    settings = found("multiface", file, named)
    if "mobilefacenet" in file.stem:
        assert settings["name"] == "mobilefacenet"
    else:
        assert (settings["depth"], settings["se"]) == (number(file.stem), "irse" in file.stem)


@golden("coreset/keys_*.json")
def test_coreset(file):
    """What takes part and what the published code never reads make up the whole list."""
    named = {name: tuple(shape) for name, shape in json.loads(file.read_text())}
    tensors = {WRAPPED + name: torch.ones(()).expand(shape) for name, shape in named.items()}
    head = find_set_head(Checkpoint(file, tensors, []), named["ur_center"][0])
    assert head.used | head.dead == tensors.keys()
    beside = file.with_name("params_without_grad.json")
    if beside.exists():
        unread = json.loads(beside.read_text())["no_grad_params"]
        assert head.dead == {WRAPPED + name for name in unread}
    assert head.header["settings"]["points"] == 3  # tensors do not tell: the published number
