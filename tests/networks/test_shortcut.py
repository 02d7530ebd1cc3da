from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from stages.core.seeding import AVX2
from stages.networks._shortcut import Shortcut

DESCEND = """
import torch
from stages.networks._shortcut import Shortcut
torch.set_num_threads(1)
for images in (2, 3, 6) * 50:
    layer = Shortcut(8, 16, 2).to(memory_format=torch.channels_last)
    map_ = torch.randn(images, 8, 56, 56).contiguous(memory_format=torch.channels_last)
    layer(map_.requires_grad_()).sum().backward()
"""


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("inputs", [3, 8, 15, 16, 24])
def test_it_is_a_strided_convolution(inputs: int, stride: int, last: bool) -> None:
    torch.manual_seed(0)
    ours = Shortcut(inputs, 6, stride).double()
    theirs = nn.Conv2d(inputs, 6, 1, stride, bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    layout = torch.channels_last if last else torch.contiguous_format
    map_ = torch.randn(2, inputs, 9, 8, dtype=torch.float64).contiguous(memory_format=layout)
    told = []
    for layer in (ours, theirs):
        seen = map_.clone().requires_grad_()
        result = layer(seen)
        result.square().sum().backward()
        told.append((result, seen.grad, layer.weight.grad))
    for one, other in zip(*told, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_bias_that_folding_gives_it_counts() -> None:
    layer = Shortcut(3, 2, 2)
    plain = layer(torch.ones(1, 3, 4, 4))
    layer.bias = nn.Parameter(torch.tensor([1.0, 2.0]))
    with torch.no_grad():
        added = layer(torch.ones(1, 3, 4, 4)) - plain
    torch.testing.assert_close(added, torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand_as(added))


def test_few_channels_break_no_memory_whatever_the_processor() -> None:
    """A plain nn.Conv2d ends this process by a signal where the processor has AVX-512."""
    native = {name: value for name, value in os.environ.items() if name not in AVX2}
    done = subprocess.run(
        [sys.executable, "-c", DESCEND], env=native, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
