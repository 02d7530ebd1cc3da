"""Single blocks of MultiFace's networks, with stored weights."""

import numpy as np
import torch
from torch import nn

from stages.networks._ir import Unit
from stages.networks.mobilefacenet import Bottleneck
from tests.goldens import golden

WEIGHT = "w:"


def build(file, state: dict[str, torch.Tensor], stride: int) -> nn.Module:
    if "conv_dw.conv.weight" in state:
        inside, inputs = state["conv.conv.weight"].shape[:2]
        outputs = len(state["project.conv.weight"])
        return Bottleneck(inputs, outputs, inside, stride, residual="_res_" in file.name)
    outputs, inputs = state["res_layer.1.weight"].shape[:2]
    squeeze = "res_layer.5.fc1.weight" in state
    return Unit(inputs, outputs, stride, norm_between=False, squeeze=squeeze)


@golden("multiface/block_*.npz")
def test_block(file):
    z = np.load(file)
    state = {k.removeprefix(WEIGHT): torch.tensor(z[k]) for k in z.files if k.startswith(WEIGHT)}
    stride = round(z["x"].shape[-1] / z["y"].shape[-1])
    block = build(file, state, stride).eval()
    block.load_state_dict(state)
    with torch.no_grad():
        y = block(torch.from_numpy(z["x"]))
    np.testing.assert_allclose(y, z["y"], rtol=1e-5, atol=1e-5)
