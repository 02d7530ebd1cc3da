"""The weight rule of BTNet's golden files, checked on the values that its index stores."""

import numpy as np
import torch

from stages.networks import iresnet
from tests.goldens import golden
from tests.weight_rules import named_tensor


@golden("btnet/weight_filler_check*.npz")
def test_filler(file):
    z = np.load(file)
    with torch.device("meta"):
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in iresnet.build(iresnet.Params(depth=18)).state_dict().items()
        }
    for name, first in zip(z["keys"], z["first4"], strict=True):
        values = named_tensor(str(name), shapes[name], ("prelu.weight",)).reshape(-1)
        np.testing.assert_allclose(values[: len(first)], first, rtol=1e-6)
