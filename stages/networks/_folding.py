"""Exact folding of BatchNorm into the linear map beside it, for inference.

BatchNorm in eval mode is x -> a x + b per channel. After a convolution it folds into that
convolution's weight and bias. Before a zero-padded convolution it does not: the padding is zero
after the BatchNorm, not a 0 + b.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

from stages.networks._dropout import Dropout
from stages.networks._staged import Staged

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
INERT = (Dropout, nn.Flatten, nn.Identity)  # between a BatchNorm and a linear map, in eval mode


@torch.no_grad()
def fold(network: Staged, dtype: torch.dtype | None = None) -> Staged:
    """A copy for inference: eval mode, BatchNorms folded where that is exact, channels last.

    Works on a whole network and on a branch; the copy has the same methods and gives the same
    results up to rounding. Every module has its children in the order in which they are run.

    Args:
        network: stays as it is.
        dtype: of the convolutions, such as torch.bfloat16; by default the network's own. Images
            may be float32 whatever it is. Remaining BatchNorms and the last projection, and with
            it the embedding, stay in the network's own precision.
    """
    folded = copy.deepcopy(network).eval()
    own = next(folded.parameters()).dtype
    for module in list(folded.modules()):
        _fold_children(module)
    folded.to(dtype, memory_format=torch.channels_last)
    for module in folded.modules():
        if isinstance(module, (*NORMS, nn.Linear)):
            module.to(own)
    return folded.requires_grad_(False)


def _fold_children(module: nn.Module) -> None:
    children = [child for child in module.named_children() if not isinstance(child[1], INERT)]
    for (first, one), (second, other) in pairwise(children):
        if isinstance(one, nn.Conv2d | nn.Linear) and isinstance(other, NORMS):
            _fold_after(one, other)
            setattr(module, second, nn.Identity())
        elif isinstance(one, nn.BatchNorm2d) and isinstance(other, nn.Linear):
            _fold_before(one, other)
            setattr(module, first, nn.Identity())


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """(a, b) in float64, so that folded weights lose nothing but their last rounding."""
    a = torch.rsqrt(norm.running_var.double() + norm.eps)
    b = -a * norm.running_mean.double()
    if norm.affine:
        a, b = norm.weight.double() * a, norm.weight.double() * b + norm.bias.double()
    return a, b


def _fold_after(one: nn.Conv2d | nn.Linear, norm: nn.Module) -> None:
    """Let `one` be norm(one(x))."""
    a, b = _affine(norm)
    if one.bias is not None:
        b = b + a * one.bias.double()
    _set(one, one.weight.double() * a.view(-1, *(1,) * (one.weight.ndim - 1)), b)


def _fold_before(norm: nn.BatchNorm2d, linear: nn.Linear) -> None:
    """Let `linear` be linear(norm(x).flatten(1)), x [B, C, H, W]."""
    a, b = (part.repeat_interleave(linear.in_features // len(part)) for part in _affine(norm))
    b = linear.weight.double() @ b
    if linear.bias is not None:
        b = b + linear.bias.double()
    _set(linear, linear.weight.double() * a, b)


def _set(one: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    dtype = one.weight.dtype
    one.weight, one.bias = nn.Parameter(weight.to(dtype)), nn.Parameter(bias.to(dtype))
