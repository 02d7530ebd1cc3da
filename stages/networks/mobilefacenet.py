"""MobileFaceNet (Chen et al., 2018, arXiv 1804.07573) as MultiFace trains it, with 512 dimensions.

MultiFace: Xu et al., 2021, arXiv 2101.09899. Tensors are named as in MultiFace's published weights.
Its network divides the embedding by its length; this one does not.

The four strided layers begin the stages that a branch may join: a map is halved by conv1, conv_23,
conv_34 and conv_45 as by the first blocks of a residual network's stages.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from stages.core.params import Section
from stages.networks._folding import fold
from stages.networks._prelu import PReLU
from stages.networks._staged import (
    BODY_SIDE,
    CHANNELS,
    FULL_RESOLUTION,
    IMAGE_CHANNELS,
    Branch,
    Staged,
    Trunk,
    implant,
    project,
    scaled,
    strides,
)

__all__ = ["Params", "build", "build_branch", "describe", "fold"]


class Params(Section):
    """Shape of the network."""

    width: float = Field(1.0, gt=0)  # channels as a share of the published network's
    embedding: int = Field(512, ge=2)  # dimensions
    depth: int | None = Field(None, exclude=True)  # of other families; this one has a single depth


def build(params: Params, resolution: int = FULL_RESOLUTION) -> MobileFaceNet:
    """The whole network for images of `resolution` px, with torch's initial weights."""
    return MobileFaceNet(params, resolution)


def build_branch(params: Params, resolution: int) -> MobileFaceNetBranch:
    """The front of the network for images of `resolution` px, up to its join with the trunk.

    Raise ValueError for a resolution that has no branch.
    """
    return MobileFaceNetBranch(params, resolution)


def describe(params: Params) -> dict[str, Any]:
    """What a weights file says of its network: the section `backbone` that builds it again."""
    return {"name": "mobilefacenet", **params.model_dump()}


class Conv(nn.Module):
    """Convolution and BN; then PReLU, unless `linear`. No bias."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else PReLU(outputs)

    def forward(self, map_: Tensor) -> Tensor:
        return self.prelu(self.bn(self.conv(map_)))


class Bottleneck(nn.Module):
    """1x1 to `inside` channels, 3x3 of each channel with the stride, 1x1 back without activation.

    A residual one adds its input; no activation after the sum.
    """

    def __init__(
        self, inputs: int, outputs: int, inside: int, stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv = Conv(inputs, inside)
        self.conv_dw = Conv(inside, inside, 3, stride, 1, groups=inside)
        self.project = Conv(inside, outputs, linear=True)
        self.residual = residual

    def forward(self, map_: Tensor) -> Tensor:
        out = self.project(self.conv_dw(self.conv(map_)))
        return out.add_(map_) if self.residual else out


class Residuals(nn.Module):
    """Several residual bottlenecks."""

    def __init__(self, count: int, channels: int, inside: int) -> None:
        super().__init__()
        blocks = (Bottleneck(channels, channels, inside, residual=True) for _ in range(count))
        self.model = nn.Sequential(*blocks)

    def forward(self, map_: Tensor) -> Tensor:
        return self.model(map_)


def _stages(width: float, resolution: int) -> list[dict[str, nn.Module]]:
    """The blocks of the four stages by name, in order."""
    c64, c128, c256, c512 = scaled(CHANNELS, width)
    one, two, three, four = strides(resolution)
    return [
        {
            "conv1": Conv(IMAGE_CHANNELS, c64, 3, one, 1),
            "conv2_dw": Conv(c64, c64, 3, 1, 1, groups=c64),
        },
        {"conv_23": Bottleneck(c64, c64, c128, two), "conv_3": Residuals(4, c64, c128)},
        {"conv_34": Bottleneck(c64, c128, c256, three), "conv_4": Residuals(6, c128, c256)},
        {
            "conv_45": Bottleneck(c128, c128, c512, four),
            "conv_5": Residuals(2, c128, c256),
            "conv_6_sep": Conv(c128, c512),
        },
    ]


class _Front(Staged):
    """The stages; there is no stem before the first."""

    def __init__(self, resolution: int, stages: list[dict[str, nn.Module]]) -> None:
        super().__init__()
        self.resolution, self.depth = resolution, len(stages)
        self.blocks = [list(stage) for stage in stages]
        for stage in stages:
            for name, block in stage.items():
                self.add_module(name, block)

    def stem(self, images: Tensor) -> Tensor:
        return images.to(self.conv1.conv.weight.dtype)

    def layer(self, stage: int) -> nn.Sequential:
        return nn.Sequential(*(getattr(self, name) for name in self.blocks[stage - 1]))


class MobileFaceNetBranch(_Front, Branch):
    """From the image to the first block of the stage where the trunk takes over."""

    def __init__(self, params: Params, resolution: int) -> None:
        stages = _stages(params.width, resolution)[: implant(resolution)]
        first = next(iter(stages[-1]))
        super().__init__(resolution, [*stages[:-1], {first: stages[-1][first]}])


class MobileFaceNet(_Front, Trunk):
    """The whole network."""

    def __init__(self, params: Params, resolution: int) -> None:
        super().__init__(resolution, _stages(params.width, resolution))
        self.channels = self.conv_6_sep.conv.out_channels
        self.conv_6_dw = Conv(
            self.channels, self.channels, BODY_SIDE, groups=self.channels, linear=True
        )
        self.linear = nn.Linear(self.channels, params.embedding, bias=False)
        self.bn = nn.BatchNorm1d(params.embedding)

    def embed(self, body: Tensor) -> Tensor:
        return project(self.conv_6_dw(body).flatten(1), self.linear, self.bn)
