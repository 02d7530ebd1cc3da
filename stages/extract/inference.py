"""Networks made ready to embed, what they are fed, and the embeddings they give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from stages.core.contract import InputContract
from stages.extract.params import Params
from stages.networks._files import Loaded
from stages.networks._staged import Staged

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def for_inference(model: Loaded, settings: Params, device: torch.device) -> Staged:
    """Its network with BatchNorms folded, of the wanted precision, on the device."""
    return model.family.fold(model.network, DTYPES[settings.precision]).to(device)


def fed(images: np.ndarray, contract: InputContract, device: torch.device) -> Tensor:
    """uint8 images [B, s, s, 3] as a model of this contract wants them: float32 [B, 3, s, s]."""
    batch = contract.normalise(torch.from_numpy(images).to(device))
    return batch.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def embed(batch: Tensor, network: Callable[[Tensor], Tensor]) -> dict[str, np.ndarray]:
    """Embeddings of images and of their mirror images, and norms of the former."""
    embedding = network(batch).float().cpu()
    return {
        "embedding": embedding.numpy(),
        "mirrored": network(batch.flip(3)).float().cpu().numpy(),
        "norm": embedding.norm(dim=1).numpy(),
    }
