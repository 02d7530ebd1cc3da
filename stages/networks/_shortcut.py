"""The convolution on the shortcut of a residual block that halves its map."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

FEWEST = 16  # channels that oneDNN's kernel takes without harm


class Shortcut(nn.Conv2d):
    """A convolution 1x1 of every stride-th pixel, without bias.

    With fewer than 16 channels the pixels are taken first: from AVX-512 on, oneDNN 3.12 (in
    PyTorch 2.13) writes beyond its memory when it computes the weights' gradient of a strided one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, stride, bias=False)

    def forward(self, map_: Tensor) -> Tensor:
        if self.in_channels >= FEWEST:
            return super().forward(map_)
        pixels = functional.max_pool2d(map_, 1, self.stride)
        return functional.conv2d(pixels, self.weight, self.bias)
