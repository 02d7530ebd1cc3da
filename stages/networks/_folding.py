"""Exact folding of BatchNorm into the linear map beside it, for inference.

BatchNorm in eval mode is x -> a x + b per channel. After a convolution it folds into that
convolution's weight and bias. Before a zero-padded convolution it does not: the padding is zero
after the BatchNorm, not a 0 + b.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(a, b) in float64, so that the folded weights are rounded once."""
    a = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    return a, norm.bias.double() - a * norm.running_mean.double()


@torch.no_grad()
def fold_after_conv(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution equal to `norm(conv(x))`; `conv` has no bias."""
    a, b = _affine(norm)
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        groups=conv.groups,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    folded.weight.copy_(conv.weight.double() * a[:, None, None, None])
    folded.bias.copy_(b)
    return folded


@torch.no_grad()
def fold_around_linear(
    before: nn.BatchNorm2d, linear: nn.Linear, after: nn.BatchNorm1d
) -> nn.Linear:
    """One linear map equal to `after(linear(before(x).flatten(1)))`, x [B, C, H, W]."""
    a, b = _affine(before)
    pixels = linear.in_features // len(a)
    weight = linear.weight.double()
    bias = linear.bias.double() + weight @ b.repeat_interleave(pixels)
    weight = weight * a.repeat_interleave(pixels)
    a, b = _affine(after)
    folded = nn.Linear(
        linear.in_features,
        linear.out_features,
        device=linear.weight.device,
        dtype=linear.weight.dtype,
    )
    folded.weight.copy_(weight * a[:, None])
    folded.bias.copy_(bias * a + b)
    return folded
