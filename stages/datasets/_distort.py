"""What AdaFace and FaceCoresetNet do to one training photograph: uint8 [S, S, 3] in and out.

AdaFace (Kim et al., CVPR 2022, arXiv 2204.00964): a rectangle on black, a random size and back,
a colour jitter, each with a probability of its own. RandAugment (Cubuk et al., NeurIPS 2020,
arXiv 1909.13719), which FaceCoresetNet adds, with torchvision's operations and defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.core.schedule import Augmentation

if TYPE_CHECKING:
    from PIL import Image

CROP_AREA = (0.2, 1.0)  # of the rectangle, as a share of the image's
CROP_ASPECT = (3 / 4, 4 / 3)  # width over height
CROP_TRIES = 10
SMALLEST_SHARE = 0.2  # of the side, when rescaled
JITTER = 0.5  # brightness, contrast and saturation are multiplied by 1 - JITTER .. 1 + JITTER
INTERPOLATIONS = ("INTER_NEAREST", "INTER_LINEAR", "INTER_AREA", "INTER_CUBIC", "INTER_LANCZOS4")


def distort(image: np.ndarray, how: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """AdaFace's augmentation of an RGB image: crop, then rescale, then photometric.

    The published code jitters the colours of BGR images as if they were RGB, which exchanges the
    weights of red and blue in the grey image; so does this.
    """
    if generator.random() < how.crop:
        image = crop(image, *draw_rectangle(len(image), generator))
    if generator.random() < how.rescale:
        share = generator.uniform(SMALLEST_SHARE, 1)
        down, up = generator.integers(len(INTERPOLATIONS), size=2)
        image = rescale(image, share, INTERPOLATIONS[down], INTERPOLATIONS[up])
    if generator.random() < how.photometric:
        factors = generator.uniform(1 - JITTER, 1 + JITTER, len(ENHANCERS))
        image = photometric(image[..., ::-1], factors, generator.permutation(len(ENHANCERS)))
        image = image[..., ::-1]
    return image


def crop(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """The rectangle where it was, everything else black."""
    kept = np.zeros_like(image)
    inside = slice(top, top + height), slice(left, left + width)
    kept[inside] = image[inside]
    return kept


def draw_rectangle(side: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """top, left, height, width: area and log of the aspect uniform; the whole image if none fits.

    torchvision's RandomResizedCrop, without its resizing.
    """
    for _ in range(CROP_TRIES):
        area = side * side * generator.uniform(*CROP_AREA)
        aspect = math.exp(generator.uniform(*np.log(CROP_ASPECT)))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= side and 0 < height <= side:
            top = int(generator.integers(side - height + 1))
            left = int(generator.integers(side - width + 1))
            return top, left, height, width
    return 0, 0, side, side


def rescale(image: np.ndarray, share: float, down: str, up: str) -> np.ndarray:
    """Resized to `share` of its side (rounded down) and back; `down`, `up`: in INTERPOLATIONS."""
    import cv2

    side = int(share * len(image))
    small = cv2.resize(image, (side, side), interpolation=getattr(cv2, down))
    return cv2.resize(small, image.shape[1::-1], interpolation=getattr(cv2, up))


ENHANCERS = ("Brightness", "Contrast", "Color")  # PIL's; Color is the saturation


def photometric(image: np.ndarray, factors: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Brightness, contrast and saturation times `factors` [3], one after another in `order`.

    torchvision's ColorJitter on PIL images: each blends the image with black, with the mean of its
    grey copy, or with that copy, and is rounded down to grey levels. The first channel is red.
    """
    from PIL import Image, ImageEnhance

    pixels = Image.fromarray(np.ascontiguousarray(image))
    for i in order:
        pixels = getattr(ImageEnhance, ENHANCERS[i])(pixels).enhance(factors[i])
    return np.array(pixels)


BINS = 31  # magnitudes of RandAugment, from none to the strongest
TRANSLATION = 150 / 331  # the strongest, as a share of the side: 150 pixels on AutoAugment's 331


class Operation(NamedTuple):
    """One of RandAugment's.

    Attributes:
        weakest, strongest: magnitudes of the first and of the last bin.
        signed: whether the magnitude is negative half the time.
        apply: what it does to an image at a magnitude.
    """

    weakest: float
    strongest: float
    signed: bool
    apply: Callable[[Image.Image, float], Image.Image]


def rand_augment(
    image: np.ndarray, generator: np.random.Generator, count: int = 2, magnitude: int = 9
) -> np.ndarray:
    """RandAugment: `count` random operations after each other, each at bin `magnitude` of 0..30.

    Nearest pixels, black outside, as torchvision's defaults. The first channel is taken for red by
    the operations on colours.
    """
    from PIL import Image

    pixels = Image.fromarray(np.ascontiguousarray(image))
    known = list(OPERATIONS.values())
    for number in generator.integers(len(known), size=count):
        chosen = known[number]
        step = (chosen.strongest - chosen.weakest) / (BINS - 1)
        amount = chosen.weakest + step * magnitude
        if chosen.signed and generator.random() < 0.5:
            amount = -amount
        pixels = chosen.apply(pixels, amount)
    return np.array(pixels)


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    """Output pixel (x, y) is input pixel (ax + by + c, dx + ey + f)."""
    from PIL import Image

    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def _enhance(name: str) -> Callable[[Image.Image, float], Image.Image]:
    def apply(image: Image.Image, amount: float) -> Image.Image:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(image).enhance(1 + amount)

    return apply


def _ops(name: str) -> Callable[..., Image.Image]:
    def apply(image: Image.Image, *amount: float) -> Image.Image:
        from PIL import ImageOps

        return getattr(ImageOps, name)(image, *amount)

    return apply


OPERATIONS = {
    "identity": Operation(0, 0, False, lambda image, _: image),
    "shear x": Operation(0, 0.3, True, lambda image, m: _affine(image, (1, m, 0, 0, 1, 0))),
    "shear y": Operation(0, 0.3, True, lambda image, m: _affine(image, (1, 0, 0, m, 1, 0))),
    "translate x": Operation(
        0,
        TRANSLATION,
        True,
        lambda image, m: _affine(image, (1, 0, -int(m * image.width), 0, 1, 0)),
    ),
    "translate y": Operation(
        0,
        TRANSLATION,
        True,
        lambda image, m: _affine(image, (1, 0, 0, 0, 1, -int(m * image.height))),
    ),
    "rotate": Operation(0, 30, True, lambda image, m: image.rotate(m)),
    "brightness": Operation(0, 0.9, True, _enhance("Brightness")),
    "colour": Operation(0, 0.9, True, _enhance("Color")),
    "contrast": Operation(0, 0.9, True, _enhance("Contrast")),
    "sharpness": Operation(0, 0.9, True, _enhance("Sharpness")),
    "posterize": Operation(8, 4, False, lambda image, m: _ops("posterize")(image, round(m))),
    "solarize": Operation(255, 0, False, lambda image, m: _ops("solarize")(image, m)),
    "autocontrast": Operation(0, 0, False, lambda image, _: _ops("autocontrast")(image)),
    "equalize": Operation(0, 0, False, lambda image, _: _ops("equalize")(image)),
}
