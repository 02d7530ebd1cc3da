"""The trunk as it is, and the labelled images that heads learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.contract import InputContract
from stages.core.fit import Step
from stages.core.schedule import Schedule
from stages.datasets._augment import augment
from stages.datasets._training import TrainingImages
from stages.networks._files import WEIGHTS, Loaded, load_trunk


class Task(NamedTuple):
    """What is trained, and how a step of it goes.

    Attributes:
        modules: `head`, and what is trained beside it and thrown away.
        rows: of the training set, one of which a step's rows are.
        step: as core.fit wants it.
        inputs: files that the result depends on.
        build: arguments of the head file's `build`, beside the settings.
    """

    modules: dict[str, nn.Module]
    rows: int
    step: Step
    inputs: list[Path]
    build: dict[str, Any]


class Frozen:
    """Trunk and training set.

    Args:
        source: folder of the trunk.
        images: folder of the aligned set.
        schedule: settings of a head; its augmentation and resampler are used.
        device: of the trunk.
        threads: that decode images.
    """

    def __init__(
        self, source: Path, images: Path, schedule: Schedule, device: torch.device, threads: int
    ) -> None:
        loaded: Loaded = load_trunk(source)
        self.source = source
        self.contract: InputContract = loaded.contract
        self.embedding: int = loaded.params.embedding
        self.network = loaded.family.fold(loaded.network).to(device)
        self.images = TrainingImages(images, threads)
        self.schedule = schedule
        self.device = device
        self.inputs = [self.images.index_file, source / WEIGHTS]

    @property
    def shape(self) -> list[int]:
        """Channels, height and width of the trunk's last map."""
        side = self.contract.size
        with torch.inference_mode():
            return list(self.network.body(torch.zeros(1, 3, side, side, device=self.device)).shape)[
                1:
            ]

    @torch.no_grad()
    def bodies(self, rows: np.ndarray, uniform: np.ndarray) -> Tensor:
        """Last map [B, C, H, W] of images `rows`, changed as numbers [B, DRAWS] say."""
        how = self.schedule.augment
        pixels, _ = self.images.batch(rows, uniform, how, self.schedule.resampler)
        batch = self.contract.normalise(torch.from_numpy(pixels).to(self.device))
        batch = augment(batch, uniform, how)
        return self.network.body(batch.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def embed(self, bodies: Tensor) -> Tensor:
        """Embeddings [B, E], not normalised."""
        return self.network.embed(bodies).float()

    def labels(self, rows: np.ndarray) -> Tensor:
        """Classes [B]."""
        return torch.from_numpy(self.images.labels[rows]).to(self.device)

    def rows_of_people(self) -> list[np.ndarray]:
        """Rows of each class's images; classes without any are left out."""
        labels = self.images.labels
        order = np.argsort(labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
