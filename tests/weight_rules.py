"""The rules that give a network the weights with which the references were run.

They are stated in the indices of the golden files; the weights themselves are too large to keep.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from stages.networks._staged import Staged

MASK = np.uint64(0xFFFFFFFF)


def slopes(module: nn.Module) -> set[str]:
    """Names of the slopes of PReLU."""
    children = module.named_modules()
    return {f"{name}.weight" for name, child in children if isinstance(child, nn.PReLU)}


def _fill(module: nn.Module, rule: Callable[[int, str, tuple[int, ...], bool], np.ndarray]) -> None:
    """Give each tensor rule(place in the state dict, name, shape, whether a PReLU's slope)."""
    state, of_prelu = module.state_dict(), slopes(module)
    filled = {
        name: rule(k, name, tuple(tensor.shape), name in of_prelu)
        for k, (name, tensor) in enumerate(state.items())
    }
    module.load_state_dict({name: torch.from_numpy(value) for name, value in filled.items()})


def fill_by_name(module: nn.Module) -> None:
    """BTNet's and MultiFace's rule: normal numbers seeded by the tensor's published name."""
    published = module.published_names() if isinstance(module, Staged) else {}
    _fill(module, lambda k, name, *more: named_tensor(published.get(name, name), *more))


def named_tensor(name: str, shape: tuple[int, ...], slope: bool) -> np.ndarray:
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
    else:
        value = 0.25 + 0.05 * z if slope else 1 + 0.1 * z
    return value.astype(np.float32)


def fill_by_index(module: nn.Module) -> None:
    """MagFace's and SCF's rule: hashed uniform numbers by the tensor's place in the state dict."""
    _fill(module, indexed_tensor)


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


def fill_by_sine(module: nn.Module) -> None:
    """AdaFace's rule: sines of 0.7 i + k, i the place in the tensor, k that in the state dict."""
    _fill(module, sine_tensor)


def sine_tensor(k: int, name: str, shape: tuple[int, ...], slope: bool) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    s = np.sin(0.7 * np.arange(np.prod(shape, dtype=np.int64)) + k).reshape(shape)
    if name.endswith("running_var"):
        value = 1 + 0.2 * s
    elif len(shape) >= 2:
        value = s * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(("running_mean", "bias")):
        value = 0.05 * s
    else:
        value = 0.25 + 0.05 * s if slope else 1 + 0.1 * s
    return value.astype(np.float32)
