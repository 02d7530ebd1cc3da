from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.core.recipe import Augmentation
from stages.datasets._augment import DRAWS, augment, degrade, draws

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


@pytest.mark.parametrize("how", [Augmentation(flip=0.5), Augmentation(flip=0.5, rotation=1e-9)])
def test_mirror(how: Augmentation) -> None:
    batch = images(1)
    torch.testing.assert_close(augment(batch, fixed(c2=0.1), how), batch.flip(3))


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
    how = Augmentation(low_resolution=0.5, resolutions=(7,))
    degraded = degrade(pixels, uniform, how, "pil_bilinear")
    touched = (degraded != pixels).any((1, 2, 3))
    np.testing.assert_array_equal(touched, uniform[:, 0] < 0.5)
    assert degraded[touched].std() < 0.3 * pixels.std()
