"""Recipes: what a paper says of optimiser, learning rate, weight decay, clipping, augmentation."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from stages.core.params import Section

Resampler = Literal[  # names of stages/datasets/_resize.py
    "opencv_linear",
    "pil_bilinear",
    "pil_bicubic",
    "pil_nearest",
    "torch_bilinear",
    "torch_bilinear_antialias",
]


class Augmentation(Section):
    """What may happen to a training image; 0 switches a step off."""

    flip: float = Field(0.5, ge=0, le=1)  # probability of mirroring
    rotation: float = Field(0.0, ge=0)  # at most, degrees either way
    shift: float = Field(0.0, ge=0)  # at most, pixels either way
    zoom: float = Field(0.0, ge=0, lt=1)  # at most, share of the size either way
    brightness: float = Field(0.0, ge=0)  # at most, in normalised grey levels (range -1..1)
    contrast: float = Field(0.0, ge=0, lt=1)  # at most, share either way
    erase: float = Field(0.0, ge=0, le=1)  # probability of blanking a rectangle
    low_resolution: float = Field(0.0, ge=0, le=1)  # probability of resampling down and up again
    resolutions: tuple[int, ...] = (56, 28, 14, 7)  # sides to resample to (BTNet)


class Recipe(Section):
    """How the parameters move; the learning rate is set for every iteration."""

    epochs: int = Field(ge=0)
    batch: int = Field(ge=2)
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    decay: Literal["polynomial", "cosine", "step"] = "polynomial"
    power: float = Field(2.0, gt=0)
    milestones: tuple[float, ...] = ()
    factor: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0)
    clip: float | None = Field(None, gt=0)
    augment: Augmentation = Augmentation()

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of iteration `step` (from 0).

        Warm-up: lr * step / warm, so the first warm-up step has rate 0. Then lr times
        (1 - progress)^power (BTNet: power 2), half a cosine, or `factor` for each milestone passed,
        in epochs. Progress is 0 after the warm-up and 1 at the end.
        """
        warm = self.warmup_epochs * steps_per_epoch
        total = self.epochs * steps_per_epoch
        if step < warm:
            return self.lr * step / warm
        if self.decay == "step":
            passed = sum(step >= milestone * steps_per_epoch for milestone in self.milestones)
            return self.lr * self.factor**passed
        progress = (step - warm) / max(1, total - warm)
        if self.decay == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * progress))
        return self.lr * (1 - progress) ** self.power
