"""The input contract: what a model must be fed, carried by its file and checked before its use.

Most results that "cannot be reproduced" in this field are a colour order, a mean or a crop
template that differs between training and test (MagFace feeds BGR / 255, insightface RGB
(x - 127.5) / 127.5, SCF RGB (x - 127.5) / 128, MultiFace BGR).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class InputContract:
    """What one model expects.

    Attributes:
        colour: "rgb" or "bgr", order of the three input channels.
        mean, scale: grey level x (0..255) enters as (x - mean) / scale.
        template: five-point template of the crop.
        size: side of the square crop, pixels.
        embedding: dimensions of the embedding.
        training_data: name of the training set, and the SHA-256 of its index.
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
