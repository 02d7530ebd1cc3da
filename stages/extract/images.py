"""The images of a set as a model wants them, and embeddings of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stages.core.contract import InputContract
from stages.datasets._resize import down_up, resize
from stages.datasets._store import ImageStore
from stages.extract.params import Params
from stages.networks._files import Loaded
from stages.networks._staged import Staged

FULL = 112  # side of the trunk's images, pixels
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Images:
    """The images of a set, resized and normalised as one model wants them, batch by batch."""

    def __init__(
        self, image_set: str, settings: Params, contract: InputContract, device: torch.device
    ) -> None:
        self.image_set = image_set
        self.store = ImageStore(Path("data/align") / image_set)
        self.settings = settings
        self.contract = contract
        self.device = device

    def batches(self, side: int, degraded: bool = False) -> Iterator[Tensor]:
        """float32 [B, 3, s, s]: images of `side` px, or these brought back to 112 px."""
        rows = np.arange(len(self.store.index))
        size = self.settings.batch
        label = f"{self.image_set} at {side} px"
        for start in tqdm(
            range(0, len(rows), size), desc=label, unit="batch", file=sys.stderr, disable=None
        ):
            images = [self._sized(row, side, degraded) for row in rows[start : start + size]]
            batch = self.contract.normalise(torch.from_numpy(np.stack(images)).to(self.device))
            yield batch.contiguous(memory_format=torch.channels_last)

    def _sized(self, row: int, side: int, degraded: bool) -> np.ndarray:
        image = self.store.image(row)
        if not degraded:
            return resize(image, side, self.settings.resampler)
        return down_up(resize(image, FULL, self.settings.resampler), side, self.settings.resampler)


def for_inference(model: Loaded, settings: Params, device: torch.device) -> Staged:
    """Its network with BatchNorms folded, of the wanted precision, on the device."""
    return model.family.fold(model.network, DTYPES[settings.precision]).to(device)


@torch.inference_mode()
def embed(
    batches: Iterable[Tensor], network: Callable[[Tensor], Tensor]
) -> Iterator[dict[str, np.ndarray]]:
    """Of each batch: embeddings of images and of their mirror images, and norms of the former."""
    for batch in batches:
        embedding = network(batch).float().cpu()
        yield {
            "embedding": embedding.numpy(),
            "mirrored": network(batch.flip(3)).float().cpu().numpy(),
            "norm": embedding.norm(dim=1).numpy(),
        }
