"""iResNet with 18 to 200 layers, in the two flavours that published weights use.

Improved residual networks (arXiv 2004.04989) as in ArcFace (arXiv 1801.07698) and BTNet
(arXiv 2310.09563): flavour "insightface"; and as in MagFace (arXiv 2103.06627): flavour "magface".
The names of all tensors are those of the two reference implementations.

| | insightface | magface |
|---|---|---|
| BatchNorm | eps 1e-5, momentum 0.1 | eps 2e-5, momentum 0.9 (PyTorch's sense) |
| dropout | elements, after flatten, p 0 | whole channels, before flatten, p 0.4 |
| convolutions start at | N(0, 0.1) | Kaiming normal, fan out |
| gamma of the last BatchNorm | 1, not trained | trained: it carries the magnitude |
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from stages.core.params import Section
from stages.networks._dropout import Dropout
from stages.networks._folding import fold
from stages.networks._prelu import PReLU
from stages.networks._shortcut import Shortcut
from stages.networks._staged import (
    BODY_SIDE,
    CHANNELS,
    FULL_RESOLUTION,
    IMAGE_CHANNELS,
    IMPLANT,
    STAGES,
    Branch,
    Pyramid,
    Staged,
    Trunk,
    embed_mixed,
    implant,
    project,
    scaled,
)

__all__ = [
    "IMPLANT",
    "Branch",
    "IResNet",
    "Params",
    "Pyramid",
    "build",
    "build_branch",
    "describe",
    "embed_mixed",
    "fold",
    "reference_trainable",
]

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    200: (6, 26, 60, 6),
}
NORM = {
    "insightface": {"eps": 1e-5, "momentum": 0.1},
    "magface": {"eps": 2e-5, "momentum": 0.9},
}
DROPOUT = {"insightface": 0.0, "magface": 0.4}
INSIGHTFACE_CONV_STD = 0.1


class Params(Section):
    """Shape of the network."""

    depth: Literal[18, 34, 50, 100, 200] = 50
    width: float = Field(1.0, gt=0)  # channels as a share of 64, 128, 256, 512
    embedding: int = Field(512, ge=2)  # dimensions
    flavour: Literal["insightface", "magface"] = "insightface"
    dropout: float | None = Field(None, ge=0, lt=1)  # the flavour's own where absent


def build(params: Params, resolution: int = FULL_RESOLUTION) -> IResNet:
    """The whole network for images of `resolution` px, with its flavour's initial weights."""
    return IResNet(params, resolution)


def build_branch(params: Params, resolution: int) -> Branch:
    """The front of the network for images of `resolution` px, up to its join with the trunk.

    Raise ValueError for a resolution that has no branch.
    """
    return IResNetBranch(params, resolution)


def describe(params: Params) -> dict[str, Any]:
    """What a weights file says of its network: the section `backbone` that builds it again."""
    return {"name": "iresnet", **params.model_dump()}


class Block(nn.Module):
    """BN, conv3x3, BN, PReLU, conv3x3 with the stride, BN; plus the shortcut, no activation after.

    The shortcut is a strided conv1x1 and BN where the block changes size or channels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: dict[str, float]) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs, **norm)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, **norm)
        self.prelu = PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, **norm)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                Shortcut(inputs, outputs, stride), nn.BatchNorm2d(outputs, **norm)
            )

    def forward(self, map_: Tensor) -> Tensor:
        out = self.conv1(self.bn1(map_))
        out = self.conv2(self.prelu(self.bn2(out)))
        out = self.bn3(out)
        return out.add_(map_ if self.downsample is None else self.downsample(map_))


class _Front(Staged):
    """Stem and the stages that `blocks` counts."""

    def __init__(self, params: Params, resolution: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        norm = NORM[params.flavour]
        widths = scaled(CHANNELS, params.width)
        self.conv1 = nn.Conv2d(IMAGE_CHANNELS, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0], **norm)
        self.prelu = PReLU(widths[0])
        self._add_stages(blocks, widths, resolution, partial(Block, norm=norm))
        _initialise(self, params.flavour)

    def stem(self, images: Tensor) -> Tensor:
        return self.prelu(self.bn1(self.conv1(images.to(self.conv1.weight.dtype))))


class IResNetBranch(_Front, Branch):
    """Stem up to the first block of the stage where the trunk takes over."""

    def __init__(self, params: Params, resolution: int) -> None:
        before = BLOCKS[params.depth][: implant(resolution) - 1]
        super().__init__(params, resolution, (*before, 1))


class IResNet(_Front, Trunk):
    """The whole network."""

    def __init__(self, params: Params, resolution: int) -> None:
        super().__init__(params, resolution, BLOCKS[params.depth])
        norm = NORM[params.flavour]
        probability = DROPOUT[params.flavour] if params.dropout is None else params.dropout
        together = BODY_SIDE**2 if params.flavour == "magface" else 1
        self.bn2 = nn.BatchNorm2d(self.channels, **norm)
        self.dropout = Dropout(probability, together)
        self.fc = nn.Linear(self.body_size, params.embedding)
        self.features = nn.BatchNorm1d(params.embedding, **norm)
        self.features.weight.requires_grad_(params.flavour != "insightface")

    def embed(self, body: Tensor) -> Tensor:
        return project(self.dropout(self.bn2(body).flatten(1)), self.fc, self.features)


def _initialise(network: nn.Module, flavour: str) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if flavour == "insightface":
                nn.init.normal_(module.weight, 0, INSIGHTFACE_CONV_STD)
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def reference_trainable(network: IResNet, resolution: int) -> list[str]:
    """Names of the parameters that BTNet's code trains in a whole network at `resolution`.

    The rule goes by names: of the trunk's part (stages from the join on, `fc`, `features`) every
    parameter without "bn" in its name is frozen, except those of the join's first block. So
    BatchNorms of the trunk are trained too, and the running means of all drift to the branch's
    data; a branch and an untouched trunk (`build_branch`, `Trunk.resume`) do neither.
    """
    join = IMPLANT[resolution]
    fixed = [*(f"layer{stage}" for stage in range(join, STAGES[-1] + 1)), "fc", "features"]

    def trained(name: str) -> bool:
        return "bn" in name or f"layer{join}.0" in name or not any(part in name for part in fixed)

    return [
        name for name, value in network.named_parameters() if trained(name) and value.requires_grad
    ]
