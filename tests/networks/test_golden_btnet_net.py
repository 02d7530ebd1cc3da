"""iResNet at every resolution against BTNet's own networks."""

import numpy as np
import torch

from stages.networks import iresnet
from tests.goldens import golden
from tests.networks.iresnets import (
    assert_gradient,
    assert_near,
    from_file_name,
    from_state,
    shapes_of,
)
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
    for k, map_ in enumerate(maps, start=1):
        assert list(map_.shape) == list(z[f"feat{k}_shape"])
        assert_near(map_[:, :4], z[f"feat{k}_ch0_3"])
        np.testing.assert_allclose(map_.double().mean(), z[f"feat{k}_mean"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(map_.double().std(), z[f"feat{k}_std"], rtol=1e-4)


@golden("btnet/net_*_train*.npz")
def test_train(file):
    z = np.load(file)
    network = iresnet.build(*from_file_name(file)).train()
    fill_by_name(network)
    embedding = network(torch.from_numpy(z["x"]))
    embedding.square().mean().backward()
    assert_near(embedding.detach(), z["emb"])
    assert_gradient(network.conv1.weight.grad.numpy(), z["g_conv1"])
    assert_near(network.bn1.running_mean, z["bn1_rm"])
    assert_near(network.bn1.running_var, z["bn1_rv"])
    assert network.features.weight.requires_grad == bool(z["features_weight_requires_grad"])
