import copy

import pytest
import torch
from torch import nn

from stages.networks._prelu import PReLU

SHAPES = [(5, 16, 112, 112), (8, 64, 7, 7), (3, 5, 9, 11), (6, 4)]


def gradients(layer, inputs, upstream):
    """Result, and gradients of the inputs and of the slopes."""
    inputs, layer = inputs.clone(memory_format=torch.preserve_format), copy.deepcopy(layer)
    result = layer(inputs.requires_grad_())
    result.backward(upstream)
    return result.detach(), inputs.grad, layer.weight.grad


def pair(channels, dtype=torch.float32):
    """This project's layer and PyTorch's, with the same slopes, some of them negative."""
    ours, theirs = PReLU(channels).to(dtype), nn.PReLU(channels).to(dtype)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.normal_())
    return ours, theirs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
def test_is_pytorchs_bit_for_bit(shape, last, dtype):
    torch.manual_seed(0)
    inputs, upstream = torch.randn(2, *shape, dtype=dtype)
    inputs.view(-1)[::7] = 0.0  # where the slope belongs to
    if last and inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        upstream = upstream.contiguous(memory_format=torch.channels_last)
    results = [gradients(layer, inputs, upstream) for layer in pair(shape[1], dtype)]
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()


def test_is_the_derivative():
    torch.manual_seed(0)
    layer = PReLU(3).double()
    inputs = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(layer, {"weight": w}, x),
        (inputs.requires_grad_(), layer.weight),
    )


def test_nan_is_not_lost():
    layer = PReLU(2)
    inputs, upstream = torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    inputs[0, 1, 0, 0] = torch.nan
    _, of_inputs, of_slopes = gradients(layer, inputs, upstream)
    assert of_slopes[0] == 0
    assert of_slopes[1].isnan()
    assert of_inputs.isfinite().all()
    upstream[0, 0, 1, 1] = torch.inf
    assert not gradients(layer, inputs, upstream)[1].isfinite().all()


def test_slopes_that_stay():
    layer = PReLU(2).requires_grad_(False)
    _, of_inputs, of_slopes = gradients(layer, -torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3))
    assert of_slopes is None
    assert (of_inputs == PReLU(1).weight.item()).all()


def test_the_state_is_pytorchs():
    ours, theirs = pair(4)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_autocast_is_pytorchs_bit_for_bit(shape, precision, given):
    torch.manual_seed(0)
    layers = pair(shape[1], torch.float64 if given == torch.float64 else torch.float32)
    inputs, upstream = torch.randn(2, *shape)
    inputs.view(-1)[::7] = 0.0
    with torch.autocast("cpu", precision):
        upstream = upstream.to(layers[1](inputs.to(given)).dtype)
        results = [gradients(layer, inputs.to(given), upstream) for layer in layers]
    for one, other in zip(*results, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_two_precisions_are_refused_as_pytorch_does():
    for layer in pair(2):
        with pytest.raises(RuntimeError, match="promoting not supported"):
            layer(torch.ones(1, 2, dtype=torch.float64))
