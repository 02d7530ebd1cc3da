"""iResNet at every resolution against BTNet's own networks."""

import numpy as np
import torch
from torch import nn

from stages.networks import iresnet
from tests.goldens import golden, stored
from tests.networks.iresnets import (
    assert_gradient,
    assert_near,
    embedding_of,
    from_file_name,
    from_state,
    shapes_of,
)
from tests.rounding import SIGMAS, U
from tests.weight_rules import fill_by_name


@golden("btnet/net_*_eval*.npz")
def test_eval(file):
    z = np.load(file)
    names, shapes = list(z["keys"]), shapes_of(z["shapes"])
    network = iresnet.build(from_state(names, shapes), z["x"].shape[-1]).eval()
    state = network.state_dict()
    assert list(state) == names
    assert [tuple(t.shape) for t in state.values()] == shapes
    fill_by_name(network)
    with torch.no_grad():
        embedding, maps = network.pyramid(torch.from_numpy(z["x"]))
    assert_near(embedding, z["emb"])
    depth = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    for k, map_ in enumerate(maps, start=1):
        if f"feat{k}_shape" not in z:
            continue
        assert list(map_.shape) == list(z[f"feat{k}_shape"])
        first = z[f"feat{k}_ch0_3"]
        assert_near(map_[:, : first.shape[1]], first)
        # Each element has been through `depth` convolutions, each of which rounds by u = 2^-24 in
        # a direction of its own; at worst all elements are off in one direction.
        rounding = SIGMAS * U * depth**0.5 * map_.double().abs().mean().item()
        np.testing.assert_allclose(
            map_.double().mean(), z[f"feat{k}_mean"], rtol=1e-7, atol=rounding
        )
        np.testing.assert_allclose(map_.double().std(), z[f"feat{k}_std"], rtol=1e-4)


@golden("btnet/net_*_train*.npz")
def test_train(file):
    z = np.load(file)
    params, resolution = from_file_name(file)
    network = iresnet.build(embedding_of(params, z["emb"]), resolution).train()
    fill_by_name(network)
    embedding = network(torch.from_numpy(z["x"]))
    embedding.square().mean().backward()
    assert_near(embedding.detach(), z["emb"])
    assert_gradient(network.conv1.weight.grad.numpy(), z["g_conv1"])
    statistics = {"running_mean": "bn1_rm", "running_var": "bn1_rv"}
    for name, value in stored(z, statistics).items():
        assert_near(getattr(network.bn1, name), value)
    assert network.features.weight.requires_grad == bool(z["features_weight_requires_grad"])
