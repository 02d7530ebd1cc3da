"""The network of IR units that a golden file was made with, read off its names and shapes."""

from __future__ import annotations

import re

from torch import nn

from stages.core.params import Section
from stages.networks import ir_se, mobilefacenet
from stages.networks._staged import CHANNELS


def from_state(family, shapes: dict[str, tuple[int, ...]]) -> Section:
    """Params of `family` from shapes by published name."""
    units = len({match[1] for name in shapes if (match := re.match(r"body\.(\d+)\.", name))})
    settings = {
        "depth": next(depth for depth, counts in family.UNITS.items() if sum(counts) == units),
        "width": shapes["input_layer.0.weight"][0] / CHANNELS[0],
        "embedding": shapes["output_layer.3.weight"][0],
    }
    if "se" in family.Params.model_fields:
        settings["se"] = any(name.endswith("fc1.weight") for name in shapes)
    return family.Params(**settings)


def shapes_by_published_name(network) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's tensors, in order."""
    names = network.published_names()
    return {names[name]: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def multiface_network(shapes: dict[str, tuple[int, ...]]) -> nn.Module:
    """MultiFace's network of any depth and width, from shapes by published name."""
    if "conv_6_sep.conv.weight" not in shapes:
        return ir_se.build(from_state(ir_se, shapes))
    width = shapes["conv1.conv.weight"][0] / CHANNELS[0]
    params = mobilefacenet.Params(width=width, embedding=shapes["linear.weight"][0])
    return mobilefacenet.build(params)
