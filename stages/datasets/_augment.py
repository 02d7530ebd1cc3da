"""Augmentation of a batch: each sample draws its own numbers, whatever the number of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.core.schedule import Augmentation
from stages.core.seeding import derive
from stages.datasets._distort import distort, rand_augment
from stages.datasets._resize import down_up

if TYPE_CHECKING:
    import torch

# Columns of the random numbers of a sample.
LOW_RESOLUTION, SIDE, MIRROR, ANGLE, ZOOM, SHIFT_X, SHIFT_Y, CONTRAST, BRIGHTNESS = range(9)
ERASE, DISTORT, OPERATIONS = 9, 10, 11
DRAWS = 12
# What befalls a photograph before a clip of frames is made of it (FaceCoresetNet).
OF_PHOTOGRAPH = (LOW_RESOLUTION, SIDE, DISTORT)

# SplitMix64 (Steele et al., OOPSLA 2014): number k of a stream is mix(stream + k * GAMMA).
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
TO_UNIT = 2.0**-53


def draws(seed: int, name: str, epoch: int, rows: np.ndarray) -> np.ndarray:
    """Uniform numbers [B, DRAWS] in [0, 1), each row's from (seed, name, epoch, row) alone.

    Row r has the numbers r * DRAWS + 1 .. (r + 1) * DRAWS of a stream of its own for each epoch.
    """
    stream = np.uint64(derive(seed, name, epoch))
    k = np.asarray(rows, np.uint64)[:, None] * np.uint64(DRAWS) + np.arange(
        1, DRAWS + 1, dtype=np.uint64
    )
    z = stream + k * GAMMA  # modulo 2^64, as arrays of unsigned integers wrap
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) * TO_UNIT


def degrade(
    images: np.ndarray, uniform: np.ndarray, how: Augmentation, resampler: str
) -> np.ndarray:
    """What happens to the grey levels, uint8 RGB [B, S, S, 3], before they are normalised.

    AdaFace's distortions, BTNet's low resolutions, FaceCoresetNet's RandAugment (on BGR, as its
    images are), and, unless `augment` warps, the mirror.

    Returns:
        `images`, changed in place.
    """
    if how.crop or how.rescale or how.photometric:
        for image, own in zip(images, uniform[:, DISTORT], strict=True):
            image[:] = distort(image, how, _generator(own))
    for i in np.flatnonzero(uniform[:, LOW_RESOLUTION] < how.low_resolution):
        side = how.resolutions[int(uniform[i, SIDE] * len(how.resolutions))]
        images[i] = down_up(images[i], side, resampler)
    if how.rand_augment:
        for image, own in zip(images, uniform[:, OPERATIONS], strict=True):
            bgr = rand_augment(image[..., ::-1], _generator(own), how.rand_augment)
            image[:] = bgr[..., ::-1]
    if how.flip and not _warps(how):
        import cv2

        for i in np.flatnonzero(uniform[:, MIRROR] < how.flip):
            cv2.flip(images[i], 1, images[i])
    return images


def augment(images: torch.Tensor, uniform: np.ndarray, how: Augmentation) -> torch.Tensor:
    """Geometric and photometric changes of normalised float images [B, 3, S, S].

    Where the recipe has a rotation, zoom or shift, each image is mirrored, rotated, zoomed and
    shifted in one bilinear resampling, with zeros beyond its edges; otherwise `degrade` mirrors.
    Then its contrast about its own mean and its brightness change, then a rectangle becomes zero.
    Zero is the input contract's mean, grey in most and black in MagFace's, and its unit is that of
    brightness.
    """
    import torch

    signed = 2 * torch.from_numpy(uniform).float() - 1
    if _warps(how):
        images = _warp(images, uniform, signed, how)
    if how.contrast or how.brightness:
        mean = images.mean((1, 2, 3), keepdim=True)
        gain = 1 + how.contrast * signed[:, CONTRAST].view(-1, 1, 1, 1).to(images.device)
        offset = how.brightness * signed[:, BRIGHTNESS].view(-1, 1, 1, 1).to(images.device)
        images = (images - mean) * gain + mean + offset
    return _erase(images, uniform, how) if how.erase else images


def _warps(how: Augmentation) -> bool:
    return bool(how.rotation or how.shift or how.zoom)


def _generator(uniform: float) -> np.random.Generator:
    """More random numbers than a sample has columns, seeded by the digits of one of them."""
    return np.random.default_rng(int(uniform / TO_UNIT))


def _warp(images, uniform: np.ndarray, signed, how: Augmentation):
    import torch
    import torch.nn.functional as F

    mirror = torch.from_numpy(np.where(uniform[:, MIRROR] < how.flip, -1, 1)).float()
    angle = torch.deg2rad(how.rotation * signed[:, ANGLE])
    size = 1 + how.zoom * signed[:, ZOOM]
    shift = how.shift * signed[:, [SHIFT_X, SHIFT_Y]] * 2 / images.shape[-1]
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
    for i in np.flatnonzero(uniform[:, ERASE] < how.erase):
        # The draw that decided is uniform below `erase`, and its digits are as good as new ones.
        own = _generator(uniform[i, ERASE]).random(4)
        extent = ((SMALLEST_ERASED + (LARGEST_ERASED - SMALLEST_ERASED) * own[:2]) * side).astype(
            int
        )
        top, left = (own[2:] * (side - extent)).astype(int)
        images[i, :, top : top + extent[0], left : left + extent[1]] = 0
    return images
