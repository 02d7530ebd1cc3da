"""A training set by batches: what threads, sizes and labels may and may not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.schedule import Augmentation
from stages.datasets._augment import degrade, draws
from stages.datasets._resize import resize
from stages.datasets._store import ImageSetWriter
from stages.datasets._training import SIDE, TrainingImages
from tests.datasets.samples import jpeg

COUNT = 11
EVERYTHING = Augmentation(
    flip=0.5, crop=0.3, rescale=0.3, photometric=0.3, low_resolution=0.5, resolutions=(28, 7)
)


def image_set(folder: Path, sides: list[int], labels: list[int] | None = None) -> Path:
    folder.mkdir()
    with ImageSetWriter(folder, len(sides), folder) as writer:
        for number, side in enumerate(sides):
            label = labels[number] if labels else number % 3
            writer.add(jpeg(number, side, side), f"{number}", label)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return image_set(tmp_path / "set", [SIDE] * COUNT)


def test_a_batch_is_the_stores_images_and_their_classes(folder: Path) -> None:
    images = TrainingImages(folder)
    rows = np.array([4, 0, 9, 4])
    pixels, labels = images.batch(rows)
    np.testing.assert_array_equal(pixels, images.store.images(rows))
    np.testing.assert_array_equal(labels, rows % 3)
    assert (len(images), images.classes) == (COUNT, 3)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_neither_threads_nor_batches_change_a_byte(folder: Path, threads: int) -> None:
    rows = np.random.default_rng(0).permutation(COUNT)
    uniform = draws(0, "train", 3, rows)
    images = TrainingImages(folder, threads)
    expected = degrade(images.store.images(rows), uniform, EVERYTHING, "pil_bilinear")
    found, _ = images.batch(rows, uniform, EVERYTHING)
    np.testing.assert_array_equal(found, expected)
    halves = [images.batch(r, draws(0, "train", 3, r), EVERYTHING)[0] for r in np.split(rows, [4])]
    np.testing.assert_array_equal(np.concatenate(halves), expected)


def test_images_of_native_size_are_resized(tmp_path: Path) -> None:
    images = TrainingImages(image_set(tmp_path / "set", [20, SIDE, 40]))
    pixels, _ = images.batch(np.arange(3), resampler="pil_bicubic")
    for row in (0, 2):
        expected = resize(images.store.image(row), SIDE, "pil_bicubic")
        np.testing.assert_array_equal(pixels[row], expected)
    np.testing.assert_array_equal(pixels[1], images.store.image(1))


def test_a_damaged_image_is_named_from_any_thread(folder: Path) -> None:
    (folder / "images/00000007.jpg").write_bytes(b"gone")
    images = TrainingImages(folder, threads=2)
    with pytest.raises(InputError, match=r"00000007\.jpg.*4 bytes"):
        images.batch(np.arange(COUNT))


def test_a_set_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no class"):
        TrainingImages(image_set(tmp_path / "set", [SIDE], [-1]))


def test_classes_without_images_are_counted(tmp_path: Path, capsys) -> None:
    assert TrainingImages(image_set(tmp_path / "gaps", [SIDE] * 3, [0, 7, 7])).classes == 8
    assert "6 of 8 classes have no image" in capsys.readouterr().err
    TrainingImages(image_set(tmp_path / "whole", [SIDE] * 3, [0, 1, 1]))
    assert not capsys.readouterr().err
