"""Which parameters BTNet's code trains in a branch, by name."""

import numpy as np
import torch

from stages.networks import iresnet
from tests.goldens import golden
from tests.networks.iresnets import depth_of, from_file_name

PREFIX = "module."


@golden("btnet/trainable_params_*.npz")
def test_trainable_params(file):
    z = np.load(file)
    params, resolution = from_file_name(file)
    names = [name.removeprefix(PREFIX) for name in z["names"]]
    with torch.device("meta"):
        network = iresnet.build(params.model_copy(update={"depth": depth_of(names)}), resolution)
    parameters = dict(network.named_parameters())
    assert list(parameters) == names
    assert [p.numel() for p in parameters.values()] == list(z["numel"])
    trainable = set(iresnet.reference_trainable(network, resolution))
    assert [name in trainable for name in names] == list(z["requires_grad"])
