"""PReLU whose gradient is as fast on a processor as its forward pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class PReLU(nn.PReLU):
    """nn.PReLU with one slope for each channel; finite gradients are the same bit for bit.

    PyTorch's own takes the numbers one by one on a processor: four times as long.
    """

    def forward(self, map_: Tensor) -> Tensor:
        """[B, C, ...] -> [B, C, ...]."""
        here = map_.device.type == "cpu" and not torch.compiler.is_compiling()
        if not here or not torch.is_grad_enabled():
            return super().forward(map_)
        slopes = self.weight
        if torch.is_autocast_enabled("cpu") and map_.dtype != torch.float64:
            precision = torch.get_autocast_dtype("cpu")
            map_, slopes = map_.to(precision), slopes.to(precision)
        return _PReLU.apply(map_, slopes)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, map_: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(map_, slopes)
        return F.prelu(map_, slopes)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        map_, slopes = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, map_, 0)
        below = gradient - above
        places = range(2, map_.ndim)
        of_map = above.addcmul_(below, slopes.view(-1, *(1 for _ in places)))
        of_slopes = below.mul_(map_).sum((0, *places)) if ctx.needs_input_grad[1] else None
        return of_map, of_slopes
