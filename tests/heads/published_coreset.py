"""FaceCoresetNet with the weights that the references were run with, by their stated rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stages.heads import coreset
from tests.heads.recipes import RECIPE

_ATTENTIONS = ("self_attn1", "self_attn2", "multihead_attn1", "multihead_attn2", "multihead_attn3")
_ATTENTION = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
NAMES = [
    "gamma", "tau", "feature_norm_normalizer", "ur_center",
    "dist_from_ur_center_norm_size_balance",
    *(f"decoder_layer1.{layer}.{part}" for layer in _ATTENTIONS for part in _ATTENTION),
    *(f"decoder_layer1.norm{k}.{part}" for k in (1, 2, 3, 4) for part in ("weight", "bias")),
    "pos_trans_norm.weight", "pos_trans_norm.bias",
    "quality_measure.weight", "quality_measure.bias",
]  # fmt: skip
GAMMA = 0.11


def shape_of(name: str, dimensions: int) -> tuple[int, ...]:
    d = dimensions
    shapes = {"in_proj_weight": (3 * d, d), "in_proj_bias": (3 * d,), "out_proj.weight": (d, d)}
    for ending, shape in shapes.items():
        if name.endswith(ending):
            return shape
    if name == "quality_measure.weight":
        return (1, d)
    if name == "quality_measure.bias":
        return (1,)
    return (d,) if "." in name or name == "ur_center" else ()


def published_weights(dimensions: int) -> dict[str, torch.Tensor]:
    """0.05 sin(0.7 i + k) for the k-th tensor; LayerNorm scales are 1 more, gamma is fixed."""
    tensors = {}
    for k, name in enumerate(NAMES):
        shape = shape_of(name, dimensions)
        flat = 0.05 * np.sin(0.7 * np.arange(np.prod(shape, dtype=int)) + k)
        if name.endswith("weight") and "norm" in name and len(shape) == 1:
            flat = flat + 1
        values = np.full((), GAMMA) if name == "gamma" else flat.reshape(shape)
        tensors[name] = torch.from_numpy(values.astype(np.float32))
    return tensors


def live(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tensors of a published aggregation module that take part."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(coreset.DEAD)}


def published_network(dimensions: int, points: int) -> coreset.Coreset:
    """In eval mode."""
    params = coreset.Params(**RECIPE, points=points)
    network = coreset.build(params, None, dimensions)
    network.load_state_dict(live(published_weights(dimensions)))
    return network.eval()
