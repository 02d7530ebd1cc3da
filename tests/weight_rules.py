"""The two rules that give a network the weights with which the references were run.

Both are stated in the indices of the golden files; the weights themselves are too large to keep.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import nn

MASK = np.uint64(0xFFFFFFFF)


def fill_by_name(module: nn.Module, prelu: tuple[str, ...] = ("prelu.weight",)) -> None:
    """BTNet's and MultiFace's rule: normal numbers seeded by the tensor's name.

    prelu: endings of the names of PReLU slopes.
    """
    state = module.state_dict()
    filled = {name: named_tensor(name, tuple(t.shape), prelu) for name, t in state.items()}
    module.load_state_dict({name: torch.from_numpy(value) for name, value in filled.items()})


def named_tensor(name: str, shape: tuple[int, ...], prelu: tuple[str, ...]) -> np.ndarray:
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    z = np.asarray(z, np.float32)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        value = 1 + 0.1 * np.abs(z)
    elif name.endswith(("running_mean", "bias")):
        value = 0.1 * z
    elif z.ndim >= 2:
        value = z / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(prelu):
        value = 0.25 + 0.05 * z
    else:
        value = 1 + 0.1 * z
    return value.astype(np.float32)


def fill_by_index(module: nn.Module) -> None:
    """MagFace's and SCF's rule: hashed uniform numbers by the tensor's place in the state dict."""
    slopes = {
        f"{name}.weight" for name, child in module.named_modules() if isinstance(child, nn.PReLU)
    }
    state = module.state_dict()
    filled = {
        name: indexed_tensor(k, name, tuple(t.shape), name in slopes)
        for k, (name, t) in enumerate(state.items())
    }
    module.load_state_dict({name: torch.from_numpy(value) for name, value in filled.items()})


def indexed_tensor(k: int, name: str, shape: tuple[int, ...], slope: bool) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    u = hashed_uniform(k, shape)
    if name.endswith("running_mean"):
        value = 0.2 * u
    elif name.endswith("running_var"):
        value = 1 + 0.5 * u
    elif name.endswith("bias"):
        value = 0.1 * u
    elif len(shape) >= 2:
        value = u * np.sqrt(12) * np.sqrt(0.5 / np.prod(shape[1:]))
    else:
        value = (0.25 if slope else 1) + 0.2 * u
    return value.astype(np.float32)


def hashed_uniform(k: int, shape: tuple[int, ...]) -> np.ndarray:
    """float64 numbers in (-0.5, 0.5), in C order."""
    h = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint64)
    h *= np.uint64(2654435761)
    h += np.uint64((k + 1) * 2246822519 % 2**32)
    h &= MASK
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        h ^= h >> np.uint64(shift)
        h *= np.uint64(factor)
        h &= MASK
    h ^= h >> np.uint64(16)
    return ((h + 0.5) / 2**32 - 0.5).reshape(shape)
