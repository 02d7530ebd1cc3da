"""One place where randomness, threads and the device are set: before the first torch operation."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def prepare(seed: int, threads: int, device: str = "auto") -> torch.device:
    """Seed torch, fix its threads, choose the device, and ask for deterministic algorithms.

    The number of threads changes the order of float sums and with it the weights: a parameter.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def derive(seed: int, *labels: object) -> int:
    """A 63-bit seed for one purpose, independent of every other purpose of the same `seed`.

    A sample's augmentation is drawn from derive(seed, epoch, row), so that the number of workers
    or of ranks changes nothing.
    """
    text = "/".join(str(part) for part in (seed, *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
