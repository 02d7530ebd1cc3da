"""IR against AdaFace's own network, unit by unit."""

import re

import numpy as np
import torch

from stages.networks import ir
from stages.networks._ir import Unit
from tests.goldens import golden
from tests.networks.iresnets import assert_near
from tests.weight_rules import fill_by_sine


def images(count: int) -> torch.Tensor:
    """sin(0.05 i + 0.3 b), i the place in image b."""
    places = np.arange(3 * 112 * 112)
    x = [np.sin(0.05 * places + 0.3 * b).reshape(3, 112, 112) for b in range(count)]
    return torch.from_numpy(np.stack(x).astype(np.float32))


@golden("adaface/backbone_*.npz")
def test_backbone(file):
    z = np.load(file)
    depth = int(re.search(r"ir_(\d+)", file.name)[1])
    network = ir.build(ir.Params(depth=depth, embedding=z["emb"].shape[1])).eval()
    fill_by_sine(network)
    maps = []
    units = [module for module in network.modules() if isinstance(module, Unit)]
    for module in (network.input_layer, *units):
        module.register_forward_hook(lambda _, __, output: maps.append(output))
    with torch.no_grad():
        embedding = network(images(len(z["emb"])))
    length = embedding.norm(dim=1, keepdim=True)
    assert_near(embedding / length, z["emb"])
    np.testing.assert_allclose(length, z["norm"], rtol=1e-4)
    if "input_layer_mean" in z:
        channels = z["input_layer_mean"].shape[1]
        assert_near(maps[0].mean((2, 3))[:, :channels], z["input_layer_mean"])
    for number, map_ in enumerate(maps[1:]):
        name = f"block{number}"
        if f"{name}_mean" not in z:
            continue
        assert list(map_.shape) == list(z[f"{name}_shape"])
        channels = z[f"{name}_mean"].shape[1]
        assert_near(map_.mean((2, 3))[:, :channels], z[f"{name}_mean"])
        np.testing.assert_allclose(map_.double().abs().mean(), z[f"{name}_absmean"], rtol=1e-4)
