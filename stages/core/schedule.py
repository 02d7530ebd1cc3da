"""What a paper says of optimiser, learning rate, weight decay, clipping and augmentation."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

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
    brightness: float = Field(0.0, ge=0)  # at most, in units of the input contract's `scale`
    contrast: float = Field(0.0, ge=0, lt=1)  # at most, share either way
    erase: float = Field(0.0, ge=0, le=1)  # probability of blanking a rectangle
    crop: float = Field(0.0, ge=0, le=1)  # probability of blanking all but a rectangle (AdaFace)
    rescale: float = Field(0.0, ge=0, le=1)  # probability of a random size and back (AdaFace)
    photometric: float = Field(0.0, ge=0, le=1)  # probability of a colour jitter (AdaFace)
    rand_augment: int = Field(0, ge=0)  # operations of RandAugment (FaceCoresetNet: 2)
    low_resolution: float = Field(0.0, ge=0, le=1)  # probability of resampling down and up (BTNet)
    resolutions: tuple[PositiveInt, ...] = (56, 28, 14, 7)  # sides to resample to (BTNet)

    @model_validator(mode="after")
    def _consistent(self) -> Augmentation:
        if self.low_resolution and not self.resolutions:
            raise ValueError("low_resolution needs resolutions")
        return self


class Schedule(Section):
    """How the parameters move; the learning rate is set for every iteration."""

    epochs: int = Field(ge=0)
    epoch_share: float = Field(1.0, gt=0, le=1)  # of the batches, in an epoch (FaceCoresetNet: 0.1)
    batch: int = Field(ge=2)  # images a step, on all ranks together
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"  # adam (SCF), adamw (FaceCoresetNet)
    lr: float = Field(gt=0)  # after the warm-up
    gamma_lr: float | None = Field(None, gt=0)  # of a parameter `gamma`, then without weight decay
    momentum: float = Field(0.9, ge=0, lt=1)  # of sgd
    weight_decay: float = Field(5e-4, ge=0)  # of all parameters (BTNet, MagFace, SCF) except
    weight_decay_norm: float | None = Field(None, ge=0)  # BatchNorm's (AdaFace, MultiFace: 0)
    weight_decay_body: float | None = Field(None, ge=0)  # others but centres and embedding layer's
    decay: Literal["polynomial", "cosine", "step", "periodic", "constant"] = "polynomial"
    power: float = Field(2.0, gt=0)  # of the polynomial (BTNet)
    milestones: tuple[PositiveFloat, ...] = ()  # epochs at which a step falls
    period: float = Field(1.0, gt=0)  # epochs between two periodic falls (SCF: 2)
    factor: float = Field(0.1, gt=0, le=1)  # of a fall
    warmup_epochs: float = Field(0.0, ge=0)
    warmup_steps: int = Field(0, ge=0)  # in place of epochs
    clip: float | None = Field(None, gt=0)  # norm of the gradient, at most
    clip_centres: bool = False  # that of the class centres too (FaceCoresetNet)
    augment: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _consistent(self) -> Schedule:
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_epochs and warmup_steps exclude each other")
        if self.decay == "step" and not self.milestones:
            raise ValueError("decay: step needs milestones")
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError("milestones must rise")
        return self

    def steps_per_epoch(self, rows: int) -> int:
        """Batches of an epoch over `rows` images, the last one maybe smaller."""
        batches = math.ceil(rows / self.batch)
        return max(1, int(batches * self.epoch_share))

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of iteration `step` (from 0).

        Warm-up: lr * step / warm, so the first warm-up step has rate 0. Then lr times
        (1 - progress)^power (BTNet: power 2), half a cosine, `factor` for each milestone or period
        passed, in epochs, or 1. Progress is 0 after the warm-up and 1 at the end.
        """
        warm = self.warmup_steps or self.warmup_epochs * steps_per_epoch
        if step < warm:
            return self.lr * step / warm
        if self.decay == "constant":
            return self.lr
        if self.decay == "step":
            passed = sum(step >= milestone * steps_per_epoch for milestone in self.milestones)
            return self.lr * self.factor**passed
        if self.decay == "periodic":
            return self.lr * self.factor ** int(step / (self.period * steps_per_epoch))
        total = self.epochs * steps_per_epoch
        progress = (step - warm) / max(1, total - warm)
        if self.decay == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * progress))
        return self.lr * (1 - progress) ** self.power
