"""The resamplers that the published systems meet in one pipeline or another, by name.

They differ by up to 47 grey levels on a 7-pixel face, so that a resolution is not a setting without
its resampler: BTNet trains its trunk through PIL, its branches through torch, and is verified
through OpenCV. All take and give uint8 [height, width, 3]; shrinking and enlarging alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def resize(image: np.ndarray, size: int, resampler: str) -> np.ndarray:
    """A square copy of an image, or of each image of a batch; the aspect is not kept.

    Args:
        image: uint8 [height, width, 3] or [n, height, width, 3].
        size: pixels of a side.
        resampler: a name in RESAMPLERS.

    Returns:
        uint8 [size, size, 3] or [n, size, size, 3]
    """
    if image.ndim == 4:
        return _each(image, (size, size), lambda one: resize(one, size, resampler))
    return RESAMPLERS[resampler](image, size, size)


def down_up(image: np.ndarray, size: int, resampler: str) -> np.ndarray:
    """An image that has lost its detail: resized to `size` pixels a side and back.

    Args and shapes as for `resize`; the result has the shape of `image`.
    """
    if image.ndim == 4:
        return _each(image, image.shape[1:3], lambda one: down_up(one, size, resampler))
    return RESAMPLERS[resampler](resize(image, size, resampler), *image.shape[:2])


def _each(
    images: np.ndarray, shape: tuple[int, ...], change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    batch = np.empty((len(images), *shape, 3), np.uint8)
    for image, out in zip(images, batch, strict=True):
        out[:] = change(image)
    return batch


def _opencv_linear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear between the nearest four pixels, also when shrinking (aliases)."""
    import cv2

    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _pil(filter_name: str) -> Callable[[np.ndarray, int, int], np.ndarray]:
    """PIL's filter, which widens when shrinking (does not alias), but for nearest."""

    def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
        from PIL import Image

        pixels = Image.fromarray(image)
        return np.array(pixels.resize((width, height), Image.Resampling[filter_name]))

    return resample


def _torch(antialias: bool) -> Callable[[np.ndarray, int, int], np.ndarray]:
    """torch's bilinear interpolation in float32, rounded to grey levels."""

    def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
        import torch
        from torch.nn.functional import interpolate

        planes = torch.from_numpy(np.array(image, order="C")).permute(2, 0, 1)[None].float()
        sized = interpolate(
            planes, (height, width), mode="bilinear", align_corners=False, antialias=antialias
        )
        return sized[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()

    return resample


RESAMPLERS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "opencv_linear": _opencv_linear,  # IJB-C and, bit for bit, mxnet's imresize of verification
    "pil_bilinear": _pil("BILINEAR"),  # BTNet's trunk training
    "pil_bicubic": _pil("BICUBIC"),  # SurvFace evaluation: default of Pillow from 7 on
    "pil_nearest": _pil("NEAREST"),  # SurvFace evaluation: default of Pillow before 7
    "torch_bilinear": _torch(antialias=False),  # branch training: torchvision before 0.17
    "torch_bilinear_antialias": _torch(antialias=True),  # the same from 0.17 on
}
