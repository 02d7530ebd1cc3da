"""AdaFace's distortions and RandAugment, against their definitions written plainly."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.schedule import Augmentation
from stages.datasets import _distort
from stages.datasets._distort import (
    BINS,
    INTERPOLATIONS,
    OPERATIONS,
    Operation,
    distort,
    draw_rectangle,
    photometric,
    rand_augment,
    rescale,
)

SIDE = 112


@pytest.fixture
def image() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    smooth = np.stack([x + y, 2 * y, 200 - x], axis=2)
    noise = np.random.default_rng(0).integers(-20, 20, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma as PIL rounds it, the first channel red."""
    red, green, blue = np.moveaxis(image.astype(np.int64), 2, 0)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def blend(low: np.ndarray, image: np.ndarray, factor: float) -> np.ndarray:
    """low + factor (image - low), rounded down, in float32."""
    low, image = (np.asarray(values, np.float32) for values in (low, image))
    return np.clip(low + np.float32(factor) * (image - low), 0, 255).astype(np.uint8)


def test_photometric_is_three_blends_in_order(image: np.ndarray) -> None:
    factors = np.array([1.3, 0.6, 1.45])
    expected = image
    for name in (2, 0, 1):
        mean = int(grey(expected).mean() + 0.5)
        low = [0, mean, grey(expected)[..., None]][name]
        expected = blend(low, expected, factors[name])
    found = photometric(image, factors, np.array([2, 0, 1]))
    assert np.abs(found.astype(int) - expected).max() <= 1  # of the blends' own rounding
    assert (found == expected).mean() > 0.99


def test_rectangles_have_the_area_and_aspect_asked_for() -> None:
    generator = np.random.default_rng(0)
    drawn = np.array([draw_rectangle(SIDE, generator) for _ in range(3000)])
    top, left, height, width = drawn.T
    assert ((top >= 0) & (left >= 0) & (top + height <= SIDE) & (left + width <= SIDE)).all()
    area, aspect = height * width / SIDE**2, width / height
    assert 0.19 < area.min() < 0.22
    assert area.max() <= 1
    assert 0.73 < aspect.min() < 0.78
    assert 1.28 < aspect.max() < 1.37
    assert np.median(area) == pytest.approx(0.57, abs=0.03)  # a little below 0.6: large ones retry


class Scripted:
    """A generator whose uniform numbers are given."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.numbers.pop(0)

    def integers(self, end: int) -> int:
        return int(end * self.numbers.pop(0))


def test_a_rectangle_by_hand() -> None:
    """Area 0.6 of 112^2 = 7526; a quarter of the way from log 3/4 to log 4/3 lies 0.866."""
    assert draw_rectangle(SIDE, Scripted(0.5, 1, 0.99, 0)) == (37, 0, 75, 100)
    assert draw_rectangle(SIDE, Scripted(0.5, 0.25, 0, 0.99)) == (0, 31, 93, 81)
    too_wide = (1, 1)  # the whole area at 4/3
    assert draw_rectangle(SIDE, Scripted(*too_wide * 9, 0, 0.5, 0, 0)) == (0, 0, 50, 50)
    assert draw_rectangle(SIDE, Scripted(*too_wide * 10)) == (0, 0, SIDE, SIDE)


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_rescaled_at_share_one_nothing_changes(image: np.ndarray, name: str) -> None:
    np.testing.assert_array_equal(rescale(image, 1.0, name, name), image)


def test_each_distortion_comes_in_its_share_and_order(image: np.ndarray) -> None:
    """A crop alone leaves a rectangle on black; what is cropped before a rescale blurs its edge."""
    generator = np.random.default_rng(0)
    crops = [distort(image, Augmentation(crop=0.2), generator) for _ in range(400)]
    cropped = [c for c in crops if not np.array_equal(c, image)]
    assert abs(len(cropped) / 400 - 0.2) < 0.07
    for one in cropped:
        kept = (one != 0).any(2)
        rows, columns = kept.any(1), kept.any(0)
        assert kept.sum() > 0.98 * rows.sum() * columns.sum()
        np.testing.assert_array_equal(one[kept], image[kept])
    assert np.array_equal(distort(image, Augmentation(), generator), image)


def test_photometric_takes_blue_for_red_as_the_published_code_does() -> None:
    """Saturation 0 of pure blue: BGR read as RGB has the grey level of red, 76, not blue's 29."""
    blue = np.zeros((4, 4, 3), np.uint8)
    blue[..., 2] = 255
    as_published = photometric(blue[..., ::-1], np.array([1, 1, 0.0]), np.array([0, 1, 2]))
    assert set(np.unique(as_published)) == {76}
    generator, how = np.random.default_rng(3), Augmentation(photometric=1)
    state = generator.bit_generator.state
    found = distort(blue, how, generator)
    generator.bit_generator.state = state
    generator.random(3)
    factors, order = generator.uniform(0.5, 1.5, 3), generator.permutation(3)
    np.testing.assert_array_equal(found, photometric(blue[..., ::-1], factors, order)[..., ::-1])


def apply(name: str, image: np.ndarray, amount: float) -> np.ndarray:
    from PIL import Image

    return np.array(OPERATIONS[name].apply(Image.fromarray(image), amount))


# torchvision's RandAugment, `_augmentation_space(31, (112, 112))` at magnitude 9, by hand: 9/30 of
# the strongest. Translations are 15.2 of 112 pixels; posterize keeps 8 - round(9 / 7.5) bits.
AT_BIN_9 = {
    "identity": {0},
    "shear x": {-0.09, 0.09},
    "shear y": {-0.09, 0.09},
    "translate x": {-0.135952, 0.135952},
    "translate y": {-0.135952, 0.135952},
    "rotate": {-9, 9},
    "brightness": {-0.27, 0.27},
    "colour": {-0.27, 0.27},
    "contrast": {-0.27, 0.27},
    "sharpness": {-0.27, 0.27},
    "posterize": {6.8},
    "solarize": {178.5},
    "autocontrast": {0},
    "equalize": {0},
}


def test_amounts_of_rand_augment_are_the_published_ones(image: np.ndarray, monkeypatch) -> None:
    seen: dict[str, set[float]] = {name: set() for name in OPERATIONS}
    for name, operation in OPERATIONS.items():
        spy = operation._replace(
            apply=lambda i, m, name=name: seen[name].add(round(float(m), 6)) or i
        )
        monkeypatch.setitem(OPERATIONS, name, spy)
    rand_augment(image[:8, :8], np.random.default_rng(0), count=1000)
    assert {name: {amount + 0.0 for amount in found} for name, found in seen.items()} == AT_BIN_9


def test_rand_augment_does_two_operations_where_nothing_is_said(image, monkeypatch) -> None:
    seen: list[float] = []
    noted = Operation(0, 30, False, lambda pixels, amount: seen.append(amount) or pixels)
    monkeypatch.setattr(_distort, "OPERATIONS", {"noted": noted})
    rand_augment(image, np.random.default_rng(0))
    assert seen == [9, 9]


def test_geometric_operations_move_whole_pixels(image: np.ndarray) -> None:
    moved = apply("translate x", image, 0.1)
    np.testing.assert_array_equal(moved[:, 11:], image[:, :-11])
    assert not moved[:, :11].any()
    moved = apply("translate y", image, -0.13)  # 14.56 pixels, cut to whole ones
    np.testing.assert_array_equal(moved[:-14], image[14:])
    assert not moved[-14:].any()
    np.testing.assert_array_equal(
        apply("translate y", image, 0.13),
        apply("translate x", image.swapaxes(0, 1), 0.13).swapaxes(0, 1),
    )
    sheared = apply("shear x", image, 0.25)
    for y in (0, 50, 111):
        source = np.floor(np.arange(SIDE) + 0.5 + 0.25 * (y + 0.5)).astype(int)
        inside = source < SIDE
        np.testing.assert_array_equal(sheared[y, inside], image[y, source[inside]])
        assert not sheared[y, ~inside].any()
    np.testing.assert_array_equal(
        apply("shear y", image, 0.25), apply("shear x", image.swapaxes(0, 1), 0.25).swapaxes(0, 1)
    )
    np.testing.assert_array_equal(apply("rotate", image, 90), np.rot90(image))


def test_operations_on_grey_levels(image: np.ndarray) -> None:
    np.testing.assert_array_equal(apply("posterize", image, 5.2), image & 0b11111000)
    np.testing.assert_array_equal(apply("posterize", image, 6.8), image & 0b11111110)
    np.testing.assert_array_equal(
        apply("solarize", image, 178.5), np.where(image < 178.5, image, 255 - image)
    )
    np.testing.assert_array_equal(apply("identity", image, 0), image)
    low, high = image.min((0, 1)).astype(float), image.max((0, 1))
    stretched = (image - low) * 255 / (high - low)
    assert np.abs(apply("autocontrast", image, 0) - stretched).max() < 1.01
    levels = np.sort(apply("equalize", image, 0)[..., 0].ravel())
    assert np.abs(levels - np.linspace(0, 255, levels.size)).max() < 8


def test_enhancements_by_hand() -> None:
    """Each is 1 + amount of the way from black, the grey copy, its mean, or the smoothed copy."""

    def flat(*colour: int) -> np.ndarray:
        return np.full((3, 3, 3), colour, np.uint8)

    assert apply("brightness", flat(100, 100, 100), 0.27)[0, 0].tolist() == [127] * 3
    assert apply("brightness", flat(100, 100, 100), -0.27)[0, 0].tolist() == [73] * 3
    # Grey: 200 * 19595 + 100 * 38470 + 32768 is just below 119 * 65536.
    assert apply("colour", flat(200, 100, 0), -1)[0, 0].tolist() == [118] * 3
    assert apply("colour", flat(200, 100, 0), -0.5)[0, 0].tolist() == [159, 109, 59]
    halves = np.repeat(np.uint8([50, 150]), 24).reshape(2, 8, 3)
    np.testing.assert_array_equal(apply("colour", halves, 0.5), halves)
    contrasted = apply("contrast", halves, 0.5)
    assert (np.unique(contrasted[0]), np.unique(contrasted[1])) == ([25], [175])
    dot = flat(0, 0, 0)
    dot[1, 1] = 130
    dot = np.pad(dot, [(1, 1), (1, 1), (0, 0)])  # smoothed: 5/13 of it, and 1/13 around
    assert apply("sharpness", dot, -1)[1:3, 1:3, 0].tolist() == [[10, 10], [10, 50]]
    assert apply("sharpness", dot, 1)[1:3, 1:3, 0].tolist() == [[0, 0], [0, 210]]


def test_rand_augment_draws_operations_and_signs_evenly(image: np.ndarray, monkeypatch) -> None:
    seen: list[tuple[str, float]] = []
    for name, operation in OPERATIONS.items():
        spy = operation._replace(apply=lambda i, m, name=name: seen.append((name, m)) or i)
        monkeypatch.setitem(OPERATIONS, name, spy)
    generator = np.random.default_rng(0)
    for _ in range(2000):
        rand_augment(image[:8, :8], generator)
    assert len(seen) == 4000
    for name, operation in OPERATIONS.items():
        amounts = [amount for found, amount in seen if found == name]
        assert len(amounts) == pytest.approx(4000 / len(OPERATIONS), rel=0.25)
        magnitude = np.linspace(operation.weakest, operation.strongest, BINS)[9]
        np.testing.assert_allclose(np.abs(amounts), magnitude)
        if operation.signed:
            assert 0.35 < np.mean(np.less(amounts, 0)) < 0.65


def test_rand_augment_depends_on_its_generator_alone(image: np.ndarray) -> None:
    one, other = (rand_augment(image, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == image.shape
