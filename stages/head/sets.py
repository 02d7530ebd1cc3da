"""Heads that make one descriptor of a set of images, trained as classifiers of people.

A training set is drawn from one person's images, with replacement, and in clips: a few frames made
of one image by augmentation, as a video's are alike (FaceCoresetNet, supplement).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.core.params import Section
from stages.core.ranks import gather_uneven, share
from stages.core.seeding import derive
from stages.datasets._augment import DRAWS, OF_PHOTOGRAPH, draws
from stages.head.frozen import Frozen, Task
from stages.losses import adaface
from stages.losses._classifier import Classifier

IMAGES_A_BATCH = 64  # of the bank
PHOTOGRAPH = list(OF_PHOTOGRAPH)  # of a sample's numbers: those that frames of a clip share


def prepare_task(heads: Any, settings: Section, frozen: Frozen, name: str, seed: int) -> Task:
    """A head that offers `draw_clips`; each step's rows are images whose people's sets are drawn.

    Beside it a classifier over the people learns with AdaFace's margin.
    """
    build = {"shape": None, "embedding": frozen.embedding}
    head = heads.build(settings, **build).to(frozen.device).train()
    margin = adaface.build(adaface.Params(**settings.adaface.model_dump()))
    classifier = Classifier(frozen.embedding, frozen.images.classes, margin, initial="unit")
    classifier = classifier.to(frozen.device).train()
    sets = Sets(heads, settings, frozen, name, seed)
    bank = _bank(settings, frozen, name, seed) if settings.source == "cached" else None

    def step(rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        batch = gather_uneven(torch.from_numpy(rows).to(frozen.device)).cpu().numpy()
        images, first, uniform = sets.draw(rows, batch, epoch)
        if bank is None:
            flat = frozen.bodies(images.reshape(-1), uniform.reshape(-1, DRAWS))
            embedding = frozen.embed(flat).unflatten(0, images.shape)
        else:
            view = (uniform[..., 0] * settings.views).astype(np.int64)
            frame = np.arange(images.shape[1]) - first
            embedding = bank[images, view, frame].to(frozen.device)
        noise = sets.noise(heads, batch, epoch, images.shape[1]).to(frozen.device)
        descriptor = head(F.normalize(embedding, dim=2), embedding.norm(dim=2), noise)
        loss = classifier(descriptor, frozen.labels(rows))
        return {
            "loss": loss.total,
            "cosine": loss.cosine.mean(),
            "length": descriptor.norm(dim=1).mean(),
            "gamma": head.gamma.detach(),
        }

    modules = {"head": head, "classifier": classifier}
    return Task(modules, len(frozen.images), step, frozen.inputs, build)


class Sets:
    """The sets that a batch's images stand for, drawn from (seed, epoch, rows) alone.

    `rows` are those of this rank, its share of `batch`.
    """

    def __init__(self, heads: Any, settings: Any, frozen: Frozen, name: str, seed: int) -> None:
        self.draw_clips = heads.draw_clips
        self.settings = settings
        self.rows_of = frozen.rows_of_people()
        self.person = np.unique(frozen.images.labels, return_inverse=True)[1]
        self.name = f"head {name}"
        self.seed = seed

    def draw(
        self, rows: np.ndarray, batch: np.ndarray, epoch: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images [B, T] of the sets, place [B, T] of the first frame of each one's clip, and the
        numbers [B, T, DRAWS] to augment by; frames of a clip share those of PHOTOGRAPH."""
        size = random.Random(self._derive("size", epoch, batch)).randint(1, self.settings.largest)
        images, first = np.zeros((2, len(rows), size), np.int64)
        for b, row in enumerate(rows.tolist()):
            draw = random.Random(derive(self.seed, self.name, "set", epoch, row))
            there, start = self.rows_of[self.person[row]], 0
            for clip in self.draw_clips(draw, there, size, self.settings.clip_length):
                some = slice(start, start + clip.frames)
                images[b, some], first[b, some] = there[clip.image], start
                start += clip.frames
        uniform = [draws(self.seed, f"{self.name} frame {t}", epoch, rows) for t in range(size)]
        uniform = np.stack(uniform, axis=1)
        uniform[..., PHOTOGRAPH] = np.take_along_axis(uniform, first[..., None], axis=1)[
            ..., PHOTOGRAPH
        ]
        return images, first, uniform

    def noise(self, heads: Any, batch: np.ndarray, epoch: int, size: int) -> Tensor:
        """Gumbel numbers [choices, B, size] of this rank's sets of `size` images."""
        generator = torch.Generator().manual_seed(self._derive("noise", epoch, batch))
        shape = min(self.settings.points, size), len(batch), size
        return heads.gumbel(shape, generator)[:, share(len(batch))]

    def _derive(self, purpose: str, epoch: int, batch: np.ndarray) -> int:
        return derive(self.seed, self.name, purpose, epoch, *batch.tolist())


def _bank(settings: Any, frozen: Frozen, name: str, seed: int) -> Tensor:
    """Embeddings [images, views, clip_length, E]: clips of every image, embedded once, each by the
    rank whose share it is in."""
    own, frames = np.arange(len(frozen.images))[share(len(frozen.images))], settings.clip_length
    bank = torch.empty(len(own), settings.views, frames, frozen.embedding)
    for some in np.array_split(np.arange(len(own)), -(-len(own) // IMAGES_A_BATCH)):
        rows = own[some]
        for view in range(settings.views):
            for frame in range(frames):
                uniform = draws(seed, f"head {name} view {view} frame {frame}", 0, rows)
                anchor = draws(seed, f"head {name} view {view} frame 0", 0, rows)
                uniform[:, PHOTOGRAPH] = anchor[:, PHOTOGRAPH]
                bank[some, view, frame] = frozen.embed(frozen.bodies(rows, uniform)).cpu()
    return gather_uneven(bank.to(frozen.device)).cpu()
