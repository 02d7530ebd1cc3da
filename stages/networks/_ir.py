"""Residual networks of "IR" units: what AdaFace's, MultiFace's and SCF's share.

All three descend from one PyTorch port of ArcFace's LResNet (arXiv 1801.07698). A stem, four
stages of units and a head BN, dropout, linear, BN; tensors are named input_layer, output_layer and
body.<unit> in the published weights. Here the units stand in stages, layer1.0 for body.0 and so on,
so that a branch can join where a stage begins; `published_names` has the map.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor, nn

from stages.networks._dropout import Dropout
from stages.networks._prelu import PReLU
from stages.networks._shortcut import Shortcut
from stages.networks._staged import (
    BODY_SIDE,
    CHANNELS,
    IMAGE_CHANNELS,
    Branch,
    Staged,
    Trunk,
    implant,
    project,
    scaled,
)

SQUEEZE = 16  # channels of a unit per channel between the two layers of squeeze-and-excitation


class Design(NamedTuple):
    """In what the families differ.

    Attributes:
        units: of each stage.
        width: channels as a share of 64, 128, 256, 512.
        embedding: dimensions.
        dropout: probability, of elements of the last map.
        norm_between: a BatchNorm between a unit's first convolution and its PReLU.
        squeeze: squeeze-and-excitation at the end of each unit.
        last_affine: the last BatchNorm has a scale and a shift.
    """

    units: Sequence[int]
    width: float
    embedding: int
    dropout: float
    norm_between: bool = False
    squeeze: bool = False
    last_affine: bool = False


class SqueezeExcitation(nn.Module):
    """Scale channels by numbers in 0..1 found from their means (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(1, channels // SQUEEZE)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1, bias=False)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, map_: Tensor) -> Tensor:
        return map_ * self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(map_)))))


class Unit(nn.Module):
    """BN, conv3x3, [BN,] PReLU, conv3x3 with the stride, BN[, SE]; plus the shortcut.

    The shortcut is every stride-th pixel where the channels stay (also at stride 1: the map
    itself), else a strided conv1x1 and BN. No activation after the sum.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm_between: bool, squeeze: bool
    ) -> None:
        super().__init__()
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                Shortcut(inputs, outputs, stride), nn.BatchNorm2d(outputs)
            )
        else:
            self.shortcut_layer = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(outputs)] if norm_between else []),
            PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *([SqueezeExcitation(outputs)] if squeeze else []),
        )

    def forward(self, map_: Tensor) -> Tensor:
        return self.res_layer(map_).add_(self.shortcut_layer(map_))


class _Front(Staged):
    """Stem and stages; the head, where there is one, stands between them as published."""

    def __init__(self, design: Design, resolution: int, units: Sequence[int]) -> None:
        super().__init__()
        widths = scaled(CHANNELS, design.width)
        self.input_layer = nn.Sequential(
            nn.Conv2d(IMAGE_CHANNELS, widths[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            PReLU(widths[0]),
        )
        self._add_head(design, widths[-1])
        unit = partial(Unit, norm_between=design.norm_between, squeeze=design.squeeze)
        self._add_stages(units, widths, resolution, unit)

    def _add_head(self, design: Design, channels: int) -> None:
        """A branch has none."""

    def stem(self, images: Tensor) -> Tensor:
        return self.input_layer(images.to(self.input_layer[0].weight.dtype))

    def published_names(self) -> dict[str, str]:
        """The published name of each tensor: layer<stage>.<n> is body.<n + units before>."""
        counts = [len(self.layer(stage)) for stage in range(1, self.depth + 1)]
        before = list(accumulate(counts, initial=0))

        def published(name: str) -> str:
            return re.sub(
                r"^layer(\d)\.(\d+)", lambda m: f"body.{before[int(m[1]) - 1] + int(m[2])}", name
            )

        return {name: published(name) for name in self.state_dict()}


class IRBranch(_Front, Branch):
    """Stem up to the first unit of the stage where the trunk takes over."""

    def __init__(self, design: Design, resolution: int) -> None:
        super().__init__(design, resolution, (*design.units[: implant(resolution) - 1], 1))


class IR(_Front, Trunk):
    """The whole network."""

    def __init__(self, design: Design, resolution: int) -> None:
        super().__init__(design, resolution, design.units)

    def _add_head(self, design: Design, channels: int) -> None:
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Flatten(),
            Dropout(design.dropout),
            nn.Linear(channels * BODY_SIDE**2, design.embedding),
            nn.BatchNorm1d(design.embedding, affine=design.last_affine),
        )

    def embed(self, body: Tensor) -> Tensor:
        return project(self.output_layer[:3](body), *self.output_layer[3:])
