"""Networks of a stem, four stages and a head, and the low-resolution branches that join them.

BTNet (arXiv 2310.09563, BMVC 2023): a branch for images of r x r pixels is the front of the network
with fewer strides. Its map is implanted in the trunk where the trunk's own map has side r.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

RESOLUTIONS = (112, 56, 28, 14, 7)
FULL_RESOLUTION = RESOLUTIONS[0]
STAGES = (1, 2, 3, 4)
CHANNELS = (64, 128, 256, 512)  # of the stages, as published by all families of residual networks
IMAGE_CHANNELS = 3
BODY_SIDE = 7  # side of the last stage's map, at every resolution

# Stage k whose first block's output a branch supplies, by resolution: there the 112 px trunk has
# a map of the same side. The paper has branches for 28, 14 and 7.
IMPLANT = {r: k for k, r in enumerate(RESOLUTIONS) if k in STAGES}


class Pyramid(NamedTuple):
    """An embedding [B, E] and, for each of the four stages, the output of its first block."""

    embedding: Tensor
    stages: tuple[Tensor, Tensor, Tensor, Tensor]


def strides(resolution: int) -> tuple[int, int, int, int]:
    """Strides of the first block of each stage: stage k halves every multiple of 224 / 2^k px.

    Raise ValueError for a resolution whose last map is not 7 x 7.
    """
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution {resolution} is none of {RESOLUTIONS}")
    return tuple(2 if resolution % period == 0 else 1 for period in RESOLUTIONS[:-1])


def implant(resolution: int) -> int:
    """The stage whose first block's output a branch for images of `resolution` px supplies.

    Raise ValueError for a resolution that has no branch.
    """
    if resolution not in IMPLANT:
        raise ValueError(f"no branch for {resolution} px; there is one for each of {list(IMPLANT)}")
    return IMPLANT[resolution]


def scaled(channels: Sequence[int], width: float) -> tuple[int, ...]:
    """Numbers of channels as a share of the published ones, at least 1."""
    return tuple(max(1, round(width * count)) for count in channels)


def project(flat: Tensor, linear: nn.Linear, norm: nn.Module) -> Tensor:
    """norm(linear(flat)), in the precision of `linear` also under autocast (insightface's way)."""
    with torch.autocast(flat.device.type, enabled=False):
        return norm(linear(flat.to(linear.weight.dtype)))


class Staged(nn.Module):
    """A stem and the stages `layer1`, `layer2`, ..; each stage is a Sequential of blocks.

    Attributes:
        resolution: side of the images in pixels.
        depth: number of stages present.
        channels: of the last stage's map.
    """

    resolution: int
    depth: int
    channels: int

    def stem(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def layer(self, stage: int) -> nn.Sequential:
        """Stage 1..depth."""
        return getattr(self, f"layer{stage}")

    def published_names(self) -> dict[str, str]:
        """The published name of each tensor of the state dict, in order."""
        return {name: name for name in self.state_dict()}

    def _add_stages(
        self,
        blocks: Sequence[int],
        widths: Sequence[int],
        resolution: int,
        block: Callable[[int, int, int], nn.Module],
    ) -> None:
        """Add stages of `blocks` blocks each, made by block(inputs, outputs, stride)."""
        self.resolution, self.depth = resolution, len(blocks)
        inputs = widths[0]
        for stage, count in enumerate(blocks, start=1):
            outputs = widths[stage - 1]
            chain = [block(inputs, outputs, strides(resolution)[stage - 1])]
            chain += [block(outputs, outputs, 1) for _ in range(count - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(*chain))
            inputs = outputs
        self.channels = inputs

    def load_from_trunk(self, trunk: Trunk) -> None:
        """Start from the trunk's weights (BTNet: a branch is initialised from its trunk).

        The trunk may own tensors that this lacks (the shortcut of layer1.0, which has no stride
        below 112 px); every tensor of this must be there.
        """
        ours = self.state_dict().keys()
        theirs = trunk.state_dict()
        self.load_state_dict({name: theirs[name] for name in ours})


class Trunk(Staged):
    """A whole network: all four stages and a head."""

    @property
    def body_size(self) -> int:
        """Numbers in the last stage's map of one image."""
        return self.channels * BODY_SIDE**2

    def embed(self, body: Tensor) -> Tensor:
        """Map [B, C4, 7, 7] of the last stage -> embedding [B, E], not normalised."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, R, R] -> embeddings [B, E], not normalised."""
        return self.embed(self.body(images))

    def body(self, images: Tensor) -> Tensor:
        """Images [B, 3, R, R] -> map [B, C4, 7, 7] of the last stage, before the head."""
        map_ = self.stem(images)
        for stage in STAGES:
            map_ = self.layer(stage)(map_)
        return map_

    def pyramid(self, images: Tensor) -> Pyramid:
        """Images [B, 3, R, R] -> embedding and the outputs of the stages' first blocks."""
        map_ = self.stem(images)
        firsts = []
        for stage in STAGES:
            blocks = self.layer(stage)
            firsts.append(blocks[0](map_))
            map_ = blocks[1:](firsts[-1])
        return Pyramid(self.embed(map_), tuple(firsts))

    def resume_body(self, map_: Tensor, stage: int) -> Tensor:
        """Output of the first block of `stage` -> map [B, C4, 7, 7] of the last stage."""
        map_ = self.layer(stage)[1:](map_)
        for later in range(stage + 1, STAGES[-1] + 1):
            map_ = self.layer(later)(map_)
        return map_

    def resume(self, map_: Tensor, stage: int) -> Tensor:
        """Output of the first block of `stage` -> embedding [B, E]."""
        return self.embed(self.resume_body(map_, stage))


class Branch(Staged):
    """Stem up to the first block of stage `depth`; its tensors are named as in the trunk."""

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, r, r] -> map to be implanted in stage `depth` of the trunk."""
        map_ = self.stem(images)
        for stage in range(1, self.depth + 1):
            map_ = self.layer(stage)(map_)
        return map_


def embed_mixed(
    trunk: Trunk, branches: dict[int, Branch], images: dict[int, Tensor]
) -> dict[int, Tensor]:
    """Embeddings [B_r, E] of images [B_r, 3, r, r] of several resolutions r, keyed by r.

    The trunk's own resolution enters at its stem, each other one through its branch. Streams are
    concatenated where they join, so that every stage runs once on all that have joined so far.
    Equal to one resolution at a time while BatchNorm is in eval mode.

    Raise KeyError for a resolution that is neither the trunk's nor a branch's.
    """
    entry = {r: 0 if r == trunk.resolution else branches[r].depth for r in images}
    order = sorted(images, key=entry.__getitem__)
    streams: list[Tensor] = [trunk.stem(images[r]) for r in order if entry[r] == 0]
    for stage in STAGES:
        blocks = trunk.layer(stage)
        streams = [blocks[0](map_) for map_ in streams]
        streams += [branches[r](images[r]) for r in order if entry[r] == stage]
        if streams:
            joined = streams[0] if len(streams) == 1 else torch.cat(streams)
            streams = [blocks[1:](joined)]
    parts = trunk.embed(streams[0]).split([len(images[r]) for r in order])
    embeddings = dict(zip(order, parts, strict=True))
    return {r: embeddings[r] for r in images}
