"""The layers that uncertainty heads share: the trunk's last map in, logarithms out."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]  # channels, height and width of the trunk's last map


class Confidence(nn.Module):
    """Fully connected layers with ReLU between, on the flattened map or on what TFace's
    convolutions leave of it, and a floor under the exponential of each output.

    Args:
        shape: of the map.
        form: `linear` (SCF's published code) or `convolutional` (TFace's).
        hidden: widths of the fully connected layers.
        outputs: numbers a face.
        floor: smallest exponential of an output.
    """

    def __init__(
        self, shape: Shape, form: str, hidden: list[int], outputs: int, floor: float
    ) -> None:
        super().__init__()
        convolutional = form == "convolutional"
        self.front = _convolutions(shape[0]) if convolutional else nn.Flatten()
        widths = [shape[0] if convolutional else math.prod(shape), *hidden]
        layers: list[nn.Module] = []
        for inputs, width in pairwise(widths):
            layers += [nn.Linear(inputs, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
        self.outputs = outputs
        self.floor = floor

    def forward(self, body: Tensor) -> Tensor:
        """Map [B, C, H, W] -> log(floor + exp(y)) of the outputs y: [B], or [B, outputs]."""
        raw = floored(self.layers(self.front(body)), self.floor)
        return raw.squeeze(1) if self.outputs == 1 else raw


def floored(raw: Tensor, floor: float) -> Tensor:
    """log(floor + exp(raw)) without overflow, in float32 at least."""
    raw = raw if raw.dtype == torch.float64 else raw.float()
    return torch.logaddexp(raw, raw.new_tensor(math.log(floor)))


def _convolutions(channels: int) -> nn.Sequential:
    """Three unpadded 3x3 convolutions, 7 -> 5 -> 3 -> 1, and the mean over what is left."""

    def convolution() -> nn.Conv2d:
        return nn.Conv2d(channels, channels, 3, bias=False)

    return nn.Sequential(
        convolution(), nn.ReLU(),
        convolution(), nn.BatchNorm2d(channels), nn.ReLU(),
        convolution(), nn.BatchNorm2d(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
