"""One batch through a classifier whose centres are given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from stages.losses._classifier import Classifier, Loss
from stages.losses._margin import Margin
from tests.losses.plain import cosines


class Batch(NamedTuple):
    """Loss and its gradients as arrays."""

    loss: Loss
    embedding: np.ndarray
    centres: np.ndarray


def run(
    margin: Margin, x: np.ndarray, centres: np.ndarray, target: np.ndarray, spheres: int = 1
) -> Batch:
    """Forward and backward of embeddings x [B, E] against centres [C, E], in their precision."""
    embedding = torch.from_numpy(np.ascontiguousarray(x)).requires_grad_()
    classifier = Classifier(x.shape[1], len(centres), margin, spheres).to(embedding.dtype)
    with torch.no_grad():
        classifier.centres.copy_(torch.from_numpy(np.ascontiguousarray(centres)))
    loss = classifier(embedding, torch.from_numpy(target))
    loss.total.backward()
    values = Loss(*(part.detach() for part in loss))
    return Batch(values, embedding.grad.numpy(), classifier.centres.grad.numpy())


def results(
    margin: Margin,
    x: np.ndarray,
    centres: np.ndarray,
    target: np.ndarray,
    dtype: torch.dtype,
    spheres: int = 1,
) -> dict[str, torch.Tensor | np.ndarray]:
    """Everything that a reference may have stored of a batch, computed in `dtype`; see `run`.

    `logits` [B, C], or [N, B, C] of N spheres, and `each` [B], the samples' cross entropies summed
    over spheres, come from the plain definition, after the margin has observed the batch. `x` and
    `centres` are gradients.
    """
    x, centres = (torch.tensor(values, dtype=dtype).numpy() for values in (x, centres))
    batch = run(margin, x, centres, target, spheres)
    embedding, kernel, own = torch.from_numpy(x), torch.from_numpy(centres), torch.tensor(target)
    norm = embedding.norm(dim=1)
    with torch.no_grad():
        entries = cosines(embedding / norm[:, None], kernel, spheres)
        moved = [margin(cosine, norm, own) for cosine in entries]
        each = sum(F.cross_entropy(entry, own, reduction="none") for entry in moved)
    return {
        **batch.loss._asdict(),
        "x": batch.embedding,
        "centres": batch.centres,
        "logits": moved[0] if spheres == 1 else torch.stack(moved),
        "each": each,
    }


def logits(margin: Margin, x: np.ndarray, centres: np.ndarray, target: np.ndarray) -> torch.Tensor:
    """Logits [B, C] of one sphere, in float64."""
    embedding, kernel = (torch.from_numpy(values).double() for values in (x, centres))
    norm = embedding.norm(dim=1)
    (cosine,) = cosines(embedding / norm[:, None], kernel)
    with torch.no_grad():
        return margin(cosine, norm, torch.from_numpy(target))
