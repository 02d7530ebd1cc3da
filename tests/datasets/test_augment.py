from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from stages.core.schedule import Augmentation
from stages.core.seeding import derive
from stages.datasets import _distort
from stages.datasets._augment import DRAWS, OF_PHOTOGRAPH, augment, degrade, draws

SIDE = 32


def images(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def fixed(**columns: float) -> np.ndarray:
    """Draws that leave an image alone, but for the columns given as c<number>=value."""
    uniform = np.full((1, DRAWS), 0.5)
    uniform[0, [0, 2, 9]] = 0.999
    for name, value in columns.items():
        uniform[0, int(name[1:])] = value
    return uniform


def test_a_samples_draws_depend_on_nothing_but_seed_epoch_and_row() -> None:
    alone = draws(3, "train", 2, np.array([7]))
    among = draws(3, "train", 2, np.array([4, 7, 9]))
    np.testing.assert_array_equal(alone[0], among[1])
    assert not np.array_equal(alone, draws(3, "train", 3, np.array([7])))
    assert not np.array_equal(alone, draws(4, "train", 2, np.array([7])))


def test_draws_are_uniform() -> None:
    sample = draws(0, "train", 0, np.arange(4000))
    np.testing.assert_allclose(sample.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(sample.var(0), 1 / 12, atol=0.004)


def test_everything_off_changes_nothing() -> None:
    batch = images(1)
    assert torch.equal(augment(batch, fixed(), Augmentation(flip=0)), batch)


def test_splitmix_numbers_are_those_of_its_authors() -> None:
    """The stream of seed 0 begins as the published C code does; and as a plain loop has it."""
    first = 0xE220A8397B1DCDAF / 2**64
    stream = derive(5, "train", 1)
    row = 3
    expected = [splitmix(stream, row * DRAWS + k) for k in range(1, DRAWS + 1)]
    assert splitmix(0, 1) == pytest.approx(first, abs=2**-52)
    np.testing.assert_array_equal(draws(5, "train", 1, np.array([row]))[0], expected)


def splitmix(seed: int, number: int) -> float:
    mask = 2**64 - 1
    z = (seed + number * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return ((z ^ (z >> 31)) >> 11) / 2**53


def test_draws_of_neighbours_and_of_columns_are_not_correlated() -> None:
    sample = draws(0, "train", 0, np.arange(4000))
    both = np.concatenate([sample[:-1], sample[1:]], axis=1)
    correlation = np.corrcoef(both.T) - np.eye(2 * DRAWS)
    assert np.abs(correlation[:DRAWS]).max() < 0.07


def test_mirror_of_a_warp() -> None:
    batch = images(1)
    how = Augmentation(flip=0.5, rotation=1e-9)
    torch.testing.assert_close(augment(batch, fixed(c2=0.1), how), batch.flip(3))


def test_mirror_without_a_warp_is_of_the_grey_levels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    uniform = draws(0, "train", 0, np.arange(50))
    how = Augmentation(flip=0.4)
    mirrored = degrade(pixels.copy(), uniform, how, "pil_bilinear")
    for before, after, draw in zip(pixels, mirrored, uniform[:, 2], strict=True):
        np.testing.assert_array_equal(after, before[:, ::-1] if draw < 0.4 else before)
    warped = degrade(pixels.copy(), uniform, Augmentation(flip=0.4, shift=1), "pil_bilinear")
    np.testing.assert_array_equal(warped, pixels)


def test_shift_moves_by_whole_pixels() -> None:
    batch = images(1)
    moved = augment(batch, fixed(c5=1.0, c6=0.5), Augmentation(flip=0, shift=3))
    torch.testing.assert_close(moved[..., : SIDE - 3], batch[..., 3:], atol=1e-5, rtol=0)


def test_quarter_turn_is_a_rotation() -> None:
    batch = images(1)
    turned = augment(batch, fixed(c3=1.0), Augmentation(flip=0, rotation=90))
    torch.testing.assert_close(turned, torch.rot90(batch, 1, (2, 3)), atol=1e-4, rtol=0)


def test_contrast_keeps_the_mean_and_brightness_shifts_it() -> None:
    batch = images(1)
    how = Augmentation(flip=0, contrast=0.4, brightness=0.2)
    changed = augment(batch, fixed(c7=1.0, c8=0.0), how)
    expected = (batch - batch.mean()) * 1.4 + batch.mean() - 0.2
    torch.testing.assert_close(changed, expected)


def test_contrast_is_about_the_images_own_mean() -> None:
    batch = torch.cat([images(1), images(1) / 3 + 0.5])
    how = Augmentation(flip=0, contrast=0.4)
    together = augment(batch, np.repeat(fixed(c7=1.0), 2, 0), how)
    for one, changed in zip(batch, together, strict=True):
        torch.testing.assert_close(changed, (one - one.mean()) * 1.4 + one.mean())


def ramps() -> torch.Tensor:
    """An image of its own coordinates: x, y and 0, from -1 to 1 between the outer edges."""
    line = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, 0 * x])[None]


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (1.0, 1.5)])
def test_zoom_alone_reads_nearer_to_the_middle_or_farther(draw: float, factor: float) -> None:
    zoomed = augment(ramps(), fixed(c4=draw), Augmentation(flip=0, zoom=0.5))
    x, y = factor * ramps()[0, :2]
    inside = torch.maximum(x.abs(), y.abs()) < 1 - 1 / SIDE
    for plane, expected in zip(zoomed[0], (x, y), strict=False):
        torch.testing.assert_close(plane[inside], expected[inside], atol=1e-5, rtol=0)
    assert not zoomed[0, :, torch.maximum(x.abs(), y.abs()) > 1 + 1 / SIDE].any()


def test_a_turned_image_is_mirrored_whole() -> None:
    """Not sheared: the mirror image of what is turned, zoomed and shifted."""
    batch, how = images(1), Augmentation(flip=0.5, rotation=30, zoom=0.2, shift=4)
    moves = {"c3": 0.9, "c4": 0.2, "c5": 0.8, "c6": 0.3}
    plain = augment(batch, fixed(**moves), how)
    mirrored = augment(batch, fixed(**moves, c2=0.1), how)
    torch.testing.assert_close(mirrored, plain.flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("way", ["right", "down"])
def test_a_shift_is_of_pixels_either_way(way: str) -> None:
    """The lowest draw is the whole shift to the right, or down; the other axis stays."""
    column, axis = {"right": ("c5", 0), "down": ("c6", 1)}[way]
    found = augment(ramps(), fixed(**{column: 0.0}), Augmentation(flip=0, shift=4))[0]
    middle = found[:, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    before = ramps()[0, :, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    expected = before.clone()
    expected[axis] -= 4 * 2 / SIDE
    torch.testing.assert_close(middle, expected, atol=1e-5, rtol=0)


def test_erased_rectangles_have_sides_from_a_tenth_to_under_a_half_anywhere() -> None:
    side, count = 100, 1500
    uniform = draws(0, "train", 0, np.arange(count))
    erased = augment(torch.ones(count, 1, side, side), uniform, Augmentation(flip=0, erase=1)) == 0
    for axis in (2, 1):
        inside = erased[:, 0].any(axis).numpy()
        extent, first = inside.sum(1), inside.argmax(1)
        assert (extent.min(), extent.max()) == (10, 44)
        np.testing.assert_allclose(extent.mean(), 27, atol=0.7)  # 27.5, cut to whole pixels
        assert first.min() == 0
        assert (first + extent).max() >= side - 1
        np.testing.assert_allclose((first / (side - extent)).mean(), 0.5, atol=0.03)


def test_erase_blanks_one_rectangle_of_a_share_of_the_images() -> None:
    batch = torch.ones(400, 3, SIDE, SIDE)
    uniform = draws(0, "train", 0, np.arange(400))
    erased = augment(batch.clone(), uniform, Augmentation(flip=0, erase=0.3)) == 0
    share = erased.flatten(1).any(1).float().mean()
    assert abs(share - 0.3) < 0.07
    for image in erased[erased.flatten(1).any(1)]:
        rows, columns = image[0].any(1).sum(), image[0].any(0).sum()
        assert rows * columns == image[0].sum()


def test_degrade_touches_its_share_and_leaves_the_rest() -> None:
    pixels = (np.random.default_rng(0).random((300, 112, 112, 3)) * 255).astype(np.uint8)
    uniform = draws(0, "head", 0, np.arange(300))
    how = Augmentation(flip=0, low_resolution=0.5, resolutions=(7,))
    degraded = degrade(pixels.copy(), uniform, how, "pil_bilinear")
    touched = (degraded != pixels).any((1, 2, 3))
    np.testing.assert_array_equal(touched, uniform[:, 0] < 0.5)
    assert degraded[touched].std() < 0.3 * pixels.std()


def test_distortions_are_drawn_by_each_sample_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), np.uint8)
    uniform = draws(0, "train", 0, np.arange(40))
    how = Augmentation(flip=0, crop=0.5, rescale=0.5, photometric=0.5, rand_augment=1)
    together = degrade(pixels.copy(), uniform, how, "pil_bilinear")
    backwards = degrade(pixels[::-1].copy(), uniform[::-1], how, "pil_bilinear")[::-1]
    np.testing.assert_array_equal(together, backwards)
    untouched = (together == pixels).all((1, 2, 3)).mean()
    assert untouched < 0.2


def test_frames_of_a_photograph_differ_after_what_they_share() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3), np.uint8)
    frames = draws(0, "train", 0, np.arange(8))
    frames[:, OF_PHOTOGRAPH] = frames[0, OF_PHOTOGRAPH]
    shared = Augmentation(flip=0, crop=1, rescale=1, photometric=1)
    alike = degrade(np.repeat(pixels, 8, 0), frames, shared, "pil_bilinear")
    assert (alike == alike[0]).all()
    each = shared.model_copy(update={"rand_augment": 2})
    assert not (degrade(np.repeat(pixels, 8, 0), frames, each, "pil_bilinear") == alike[0]).all()


def test_rand_augment_is_given_bgr_and_rgb_comes_back(monkeypatch) -> None:
    """As FaceCoresetNet does: what it takes for red is the image's blue."""

    def without_first(image, _):
        pixels = np.array(image)
        pixels[..., 0] = 0
        return Image.fromarray(pixels)

    only = {"without red": _distort.Operation(0, 0, False, without_first)}
    monkeypatch.setattr(_distort, "OPERATIONS", only)
    pixels = np.random.default_rng(0).integers(1, 256, (3, 8, 8, 3), np.uint8)
    how = Augmentation(flip=0, rand_augment=1)
    found = degrade(pixels.copy(), draws(0, "head", 0, np.arange(3)), how, "pil_bilinear")
    np.testing.assert_array_equal(found, pixels * np.uint8([1, 1, 0]))
