"""The MagFace flavour against MagFace's own networks."""

import re
from functools import partial

import numpy as np
import torch
from torch import nn

from stages.networks import iresnet
from tests.goldens import golden
from tests.networks.iresnets import assert_gradient
from tests.rounding import SIGMAS, U
from tests.weight_rules import fill_by_index, hashed_uniform

EVAL_IMAGES, TRAIN_IMAGES, LOSS_WEIGHTS = 9999, 8888, 7777  # indices of the rule
STAGES = ("prelu", "layer1", "layer2", "layer3", "layer4", "fc")


def images(k: int, count: int) -> torch.Tensor:
    return torch.from_numpy((hashed_uniform(k, (count, 3, 112, 112)) + 0.5).astype(np.float32))


def magface_network(file, embedding: int) -> iresnet.IResNet:
    depth = int(re.search(r"iresnet(\d+)_", file.name)[1])
    params = iresnet.Params(depth=depth, embedding=embedding, flavour="magface", dropout=0.0)
    network = iresnet.build(params)
    fill_by_index(network)
    return network


@golden("magface/iresnet*_forward*.npz")
def test_forward(file):
    z = np.load(file)
    network = magface_network(file, z["out_eval"].shape[1])
    outputs = {}
    stages = [name for name in STAGES if f"act_{name}_shape" in z]
    hooks = [
        network.get_submodule(name).register_forward_hook(partial(_keep, outputs, name))
        for name in stages
    ]
    x = images(EVAL_IMAGES, len(z["out_eval"]))
    if "input" in z:
        np.testing.assert_array_equal(x, z["input"])
    with torch.no_grad():
        embedding = network.eval()(x)
    for hook in hooks:
        hook.remove()
    np.testing.assert_allclose(embedding, z["out_eval"], atol=1e-3)
    for name in stages:
        output = outputs[name]
        assert list(output.shape) == list(z[f"act_{name}_shape"])
        meanstd = [output.double().mean(), output.double().std()]
        np.testing.assert_allclose(meanstd, z[f"act_{name}_meanstd"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(output.flatten()[:64], z[f"act_{name}_first64"], atol=1e-3)
    if "train_out" in z:
        _check_training(network.train(), z)


def _keep(outputs: dict, name: str, module, inputs, output) -> None:
    outputs[name] = output


def _watch_biases(network: iresnet.IResNet) -> dict[str, float]:
    """By name of a bias, after `backward`: length of the sums over |g|, g its output's gradient.

    A bias has the gradient sum g. Where a BatchNorm in train mode follows, that is exactly 0, and
    what is found is the rounding of g: each term has been through `depth` convolutions, each of
    which rounds by u in a direction of its own, so that it is off by u sqrt(depth) |g|.
    """
    summed = {}

    def keep(name: str, gradient: torch.Tensor) -> None:
        size = gradient.abs().transpose(0, 1).flatten(1).double().sum(1)
        summed[f"{name}.bias"] = size.norm().item()

    def watch(name: str, module: nn.Module, _, output: torch.Tensor) -> None:
        output.register_hook(partial(keep, name))

    for name, module in network.named_modules():
        if getattr(module, "bias", None) is not None:
            module.register_forward_hook(partial(watch, name))
    return summed


def _check_training(network: iresnet.IResNet, z) -> None:
    count, width = z["train_out"].shape
    weights = torch.from_numpy(hashed_uniform(LOSS_WEIGHTS, (count, width)).astype(np.float32))
    summed = _watch_biases(network)
    embedding = network(images(TRAIN_IMAGES, count))
    loss = (weights * embedding).sum()
    loss.backward()
    np.testing.assert_allclose(embedding.detach(), z["train_out"], atol=5e-3)
    np.testing.assert_allclose(loss.item(), z["train_loss_sum_c_y"], atol=5e-3)
    norms = {name: value.grad.double().norm() for name, value in network.named_parameters()}
    assert list(norms) == list(z["grad_names"])
    depth = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    for (name, norm), expected in zip(norms.items(), z["grad_l2"], strict=True):
        rounding = SIGMAS * U * depth**0.5 * summed[name] if name in summed else 1e-5
        np.testing.assert_allclose(norm, expected, rtol=5e-3, atol=rounding, err_msg=name)
    assert_gradient(network.conv1.weight.grad.numpy(), z["conv1_grad"])
    for name in ("features", "bn1"):
        norm = network.get_submodule(name)
        for statistic in ("running_mean", "running_var"):
            np.testing.assert_allclose(
                getattr(norm, statistic), z[f"{name}_{statistic}_after"], rtol=5e-3, atol=5e-3
            )
