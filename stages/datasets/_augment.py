"""Augmentation of a batch: each sample draws from its own seed, whatever the number of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.core.recipe import Augmentation
from stages.core.seeding import derive
from stages.datasets._resize import down_up

if TYPE_CHECKING:
    import torch

DRAWS = 10  # random numbers a sample may use


def draws(seed: int, name: str, epoch: int, rows: np.ndarray) -> np.ndarray:
    """Uniform numbers [B, DRAWS] in [0, 1), each row's from (seed, name, epoch, row) alone."""
    return np.stack(
        [np.random.default_rng(derive(seed, name, epoch, int(row))).random(DRAWS) for row in rows]
    )


def degrade(
    images: np.ndarray, uniform: np.ndarray, how: Augmentation, resampler: str
) -> np.ndarray:
    """Resample a share of uint8 images [B, S, S, 3] down to a random resolution and up again."""
    chosen = np.flatnonzero(uniform[:, 0] < how.low_resolution)
    if len(chosen):
        images = images.copy()
    for i in chosen:
        side = how.resolutions[int(uniform[i, 1] * len(how.resolutions))]
        images[i] = down_up(images[i], side, resampler)
    return images


def augment(images: torch.Tensor, uniform: np.ndarray, how: Augmentation) -> torch.Tensor:
    """Geometric and photometric changes of normalised float images [B, 3, S, S] in about -1..1.

    Each image is mirrored, rotated, zoomed and shifted in one bilinear resampling (black border),
    then its contrast about its own mean and its brightness change, then a rectangle is erased.
    """
    import torch

    u = torch.from_numpy(uniform[:, 2:]).float()
    signed = 2 * u - 1
    mirror = torch.where(u[:, 0] < how.flip, -1.0, 1.0)
    if how.rotation or how.shift or how.zoom:
        images = _warp(images, mirror, signed, how)
    else:
        images = torch.where((mirror < 0)[:, None, None, None], images.flip(3), images)
    if how.contrast or how.brightness:
        mean = images.mean((1, 2, 3), keepdim=True)
        gain = 1 + how.contrast * signed[:, 5].view(-1, 1, 1, 1).to(images.device)
        offset = how.brightness * signed[:, 6].view(-1, 1, 1, 1).to(images.device)
        images = (images - mean) * gain + mean + offset
    return _erase(images, uniform, how) if how.erase else images


def _warp(images, mirror, signed, how: Augmentation):
    import torch
    import torch.nn.functional as F

    angle = torch.deg2rad(how.rotation * signed[:, 1])
    size = 1 + how.zoom * signed[:, 2]
    shift = how.shift * signed[:, 3:5] * 2 / images.shape[-1]
    cosine, sine = size * angle.cos(), size * angle.sin()
    theta = torch.stack(
        [
            torch.stack([mirror * cosine, -sine, shift[:, 0]], 1),
            torch.stack([mirror * sine, cosine, shift[:, 1]], 1),
        ],
        1,
    ).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


SMALLEST_ERASED, LARGEST_ERASED = 0.1, 0.45  # sides of an erased rectangle, share of the image's


def _erase(images, uniform: np.ndarray, how: Augmentation):
    side = images.shape[-1]
    for i in np.flatnonzero(uniform[:, 9] < how.erase):
        # The draw that decided is uniform below `erase`, and its digits are as good as new ones.
        own = np.random.default_rng(int(uniform[i, 9] * 2**53)).random(4)
        extent = ((SMALLEST_ERASED + (LARGEST_ERASED - SMALLEST_ERASED) * own[:2]) * side).astype(
            int
        )
        top, left = (own[2:] * (side - extent)).astype(int)
        images[i, :, top : top + extent[0], left : left + extent[1]] = 0
    return images
