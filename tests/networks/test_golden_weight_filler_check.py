"""The weight rule of BTNet's golden files, checked on the values that its index stores."""

import numpy as np
import torch

from stages.networks import iresnet
from tests.goldens import golden
from tests.weight_rules import named_tensor, slopes


@golden("btnet/weight_filler_check*.npz")
def test_filler(file):
    """Of the shallowest network that has all tensors in the file."""
    z = np.load(file)
    for depth in iresnet.BLOCKS:
        with torch.device("meta"):
            network = iresnet.build(iresnet.Params(depth=depth))
        if network.state_dict().keys() >= {*map(str, z["keys"])}:
            break
    shapes, of_prelu = network.state_dict(), slopes(network)
    for name, first in zip(map(str, z["keys"]), z["first4"], strict=True):
        values = named_tensor(name, tuple(shapes[name].shape), name in of_prelu).reshape(-1)
        np.testing.assert_allclose(values[: len(first)], first, rtol=1e-6)
