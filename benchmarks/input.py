"""Image store -> training tensor: mirror half the images, normalise, channels last.

Theirs is the published trainers' way: torch's DataLoader over single images, each decoded by PIL
and changed by torchvision's steps (RandomHorizontalFlip, ToTensor, Normalize), written out here.
`workers` are processes there and threads here.
"""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks._measure import Row, alternate
from stages.core.allocator import keep_freed_memory
from stages.core.contract import InputContract
from stages.core.fit import ahead
from stages.core.schedule import Augmentation
from stages.datasets._augment import draws
from stages.datasets._store import ImageSetWriter, ImageStore
from stages.datasets._training import SIDE, TrainingImages
from stages.fetch.photographs import photographs

IMAGES, BATCH, QUALITY = 5_120, 128, 95
WORKERS = (0, 1, 2)
TARGETS = {0: 1.8, 1: 1.8, 2: 1.8}
BEST = {0: 1.8, 1: 2.7, 2: 2.0}  # specs: 6,290, 7,540 and 9,810 images/s over theirs
OF_DECODING = 0.8
FLIP = Augmentation(flip=0.5)
CONTRACT = InputContract()
ROUNDS = 5


def rows() -> list[Row]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()  # as a training does
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        compared = [_compare(Path(folder), workers) for workers in WORKERS]
        return [*compared, _of_decoding(Path(folder))]


def _compare(folder: Path, workers: int) -> Row:
    order = np.random.default_rng(0).permutation(IMAGES)
    theirs = PerImage(folder)
    loader = DataLoader(
        theirs, BATCH, sampler=order.tolist(), num_workers=workers, persistent_workers=workers > 0
    )
    ours_s, theirs_s = alternate(
        lambda: _exhaust(_ours(TrainingImages(folder, max(1, workers)), order, workers)),
        lambda: _exhaust(images for images, _ in loader),
        rounds=ROUNDS,
    )
    note = (
        f"{IMAGES / ours_s:.0f} img/s, JPEG of {SIDE} px, batch {BATCH}, one torch thread; "
        f"theirs: PIL and per-image steps in a DataLoader"
    )
    return Row(
        f"input, {workers} workers", ours_s, theirs_s, TARGETS[workers], BEST[workers], None, note
    )


def _of_decoding(folder: Path) -> Row:
    """One thread, nothing beside it: what the rest costs on top of decoding the same rows."""
    order = np.random.default_rng(0).permutation(IMAGES)
    images = TrainingImages(folder)
    batches = np.split(order, range(BATCH, IMAGES, BATCH))
    encoded = [bytes(images.store.encoded(int(row))) for row in order]
    buffer = np.empty((BATCH, SIDE, SIDE, 3), np.uint8)

    def decode() -> None:
        for rows in batches:
            images.batch(rows)

    def decoder() -> None:
        for number, payload in enumerate(encoded):
            simplejpeg.decode_jpeg(payload, "RGB", buffer=buffer[number % BATCH])

    ours_s, decode_s, decoder_s = alternate(
        lambda: _exhaust(_ours(images, order, 0)), decode, decoder, rounds=ROUNDS
    )
    note = "one thread; theirs: decoding alone; limit: libjpeg-turbo, payloads in memory"
    share = decoder_s / ours_s
    cause = (
        "one thread also turns bytes into floats, a pass over four times the memory; in training "
        "that is done beside the step."
    )
    return Row("input, of decoding alone", ours_s, decode_s, OF_DECODING, None, share, note, cause)


def _ours(images: TrainingImages, order: np.ndarray, workers: int) -> Iterator[torch.Tensor]:
    def load(rows: np.ndarray, epoch: int) -> torch.Tensor:
        uniform = draws(0, "train", epoch, rows)
        pixels, _ = images.batch(rows, uniform, FLIP)
        return CONTRACT.normalise(torch.from_numpy(pixels))

    batches = np.split(order, range(BATCH, IMAGES, BATCH))
    if workers:
        return ahead(load, batches, 0)
    return (load(batch, 0) for batch in batches)


class PerImage(Dataset):
    """One image at a time, as the published trainers have it."""

    def __init__(self, folder: Path) -> None:
        self.store = ImageStore(folder)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.store.encoded(row))).convert("RGB")
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        planes = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        planes = planes.to(torch.float32).div(255)
        mean = torch.tensor([0.5, 0.5, 0.5])[:, None, None]
        std = torch.tensor([0.5, 0.5, 0.5])[:, None, None]
        return planes.sub_(mean).div_(std), int(self.store.index.label[row])


def _exhaust(batches: Iterator[torch.Tensor]) -> None:
    for _ in batches:
        pass


def _write(folder: Path) -> None:
    """Faces with colours and noise of their own, of the size that published packs have."""
    draw = np.random.default_rng(0)
    faces = [cv2.resize(face, (SIDE, SIDE)) for own in photographs().values() for face in own]
    with ImageSetWriter(folder, IMAGES, folder) as writer:
        for number in range(IMAGES):
            face = faces[number % len(faces)][..., None] * draw.uniform(0.7, 1.1, 3)
            face = np.clip(face + draw.normal(0, 3, face.shape), 0, 255).astype(np.uint8)
            jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(face), QUALITY)
            writer.add(jpeg, str(number), number % 100)
