"""The input contract: what a model must be fed, carried by its file and checked before its use.

Most results that "cannot be reproduced" in this field are a colour order, a mean or a crop
template that differs between training and test (MagFace feeds BGR / 255, insightface RGB
(x - 127.5) / 127.5, SCF RGB (x - 127.5) / 128, MultiFace BGR).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

THEN = "; then "  # between what a model learnt first and what it learnt after that
NAMED = re.compile(r"(\S+) ([0-9a-f]{64})")


class TrainingSet(NamedTuple):
    """One set of images that a model has learnt.

    Attributes:
        name: entry of `datasets`; of images that were never here, all that is known of them.
        digest: SHA-256 of the set's aligned index; None for images that were never here.
    """

    name: str
    digest: str | None


@dataclass(frozen=True)
class InputContract:
    """What one model expects.

    Attributes:
        colour: "rgb" or "bgr", order of the three input channels.
        mean, scale: grey level x (0..255) enters as (x - mean) / scale.
        template: five-point template of the crop.
        size: side of the square crop, pixels.
        embedding: dimensions of the embedding.
        training_data: name of the training set, and the SHA-256 of its index. A model that goes
            on from another one names that one's training set first.
    """

    colour: str = "rgb"
    mean: float = 127.5
    scale: float = 127.5
    template: str = "arcface"
    size: int = 112
    embedding: int = 512
    training_data: str = ""

    def as_dict(self) -> dict:
        return asdict(self)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB images [B, H, W, 3] -> float32 [B, 3, H, W] as the model expects them."""
        if self.colour == "bgr":
            images = images.flip(-1)
        return images.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.scale)

    def learning(self, name: str, digest: str) -> InputContract:
        """The contract of a model that goes on from this one's weights on another training set.

        Args:
            name: entry of `datasets`.
            digest: SHA-256 of the set's aligned index.
        """
        learnt, now = self.training_data, f"{name} {digest}"
        if not learnt or now in learnt.split(THEN):
            return replace(self, training_data=learnt or now)
        return replace(self, training_data=f"{learnt}{THEN}{now}")

    def training_sets(self) -> list[TrainingSet]:
        """The sets that `training_data` names, in the order in which the model learnt them."""
        parts = [part for part in self.training_data.split(THEN) if part]
        found = [NAMED.fullmatch(part) for part in parts]
        return [
            TrainingSet(match[1], match[2]) if match else TrainingSet(part, None)
            for part, match in zip(parts, found, strict=True)
        ]
