"""MobileFaceNet and IR-SE against MultiFace's own networks."""

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.goldens import golden
from tests.networks.iresnets import assert_near, shapes_of
from tests.networks.irs import multiface_network, shapes_by_published_name
from tests.weight_rules import fill_by_name


def images(z) -> torch.Tensor:
    """The images of `x_rule`: RandomState(seed).uniform(low,high,(shape))."""
    low, high, shape = re.search(r"uniform\((.+?),(.+?),\(([\d,]+)\)\)", str(z["x_rule"])).groups()
    shape = tuple(map(int, shape.split(",")))
    x = np.random.RandomState(int(z["x_seed"])).uniform(float(low), float(high), shape)
    x = x.astype(np.float32)
    if "x_first8" in z:
        np.testing.assert_array_equal(x.reshape(-1)[: len(z["x_first8"])], z["x_first8"])
    return torch.from_numpy(x)


@golden("multiface/net_*.npz")
def test_network(file):
    z = np.load(file)
    shapes = dict(zip(map(str, z["keys"]), shapes_of(z["shapes"]), strict=True))
    network = multiface_network(shapes).eval()
    assert list(shapes_by_published_name(network).items()) == list(shapes.items())
    if "n_params" in z:
        assert sum(p.numel() for p in network.parameters()) == z["n_params"]
    _check_groups(network, z)
    fill_by_name(network)
    with torch.no_grad():
        assert_near(F.normalize(network(images(z))), z["emb"])


def _check_groups(network: nn.Module, z) -> None:
    """MultiFace's weight decay spares the BatchNorms and knows the rest by its place."""
    names = network.published_names()
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    of_norms = {
        f"{name}.{part}"
        for name, module in network.named_modules()
        if isinstance(module, norms)
        for part in ("weight", "bias")
    }
    parameters = [name for name, _ in network.named_parameters()]
    for key, chosen in (("bn", True), ("wo_bn", False)):
        group = [names[name] for name in parameters if (name in of_norms) == chosen]
        if f"{key}_param_names" in z:
            assert group == list(z[f"{key}_param_names"])
