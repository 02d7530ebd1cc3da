"""log I_v of a training batch, forward and backward, against SCF's round trip through SciPy."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor

from benchmarks._measure import Row, alternate
from stages.core.bessel import log_ive

ORDER = 255.0  # d = 512
GUARD = 1e-6
SLOWDOWN_ALLOWED = 2.5  # at a training batch, where the time is a call's overhead
# (batch, precision, target ratio, best ratio known, calls timed together)
CASES = (
    (32, torch.float32, 1 / SLOWDOWN_ALLOWED, 0.5, 50),
    (512, torch.float32, 1 / SLOWDOWN_ALLOWED, 1.2, 50),
    (100_000, torch.float32, 2.5, 10.0, 1),
    (100_000, torch.float64, 2.5, 3.8, 1),
)


def rows() -> list[Row]:
    # One thread on both sides: SciPy has one, and two would measure their own wake-up.
    torch.set_num_threads(1)
    return [_row(*case) for case in CASES]


class ScipyIve(torch.autograd.Function):
    """exp(-k) I_v(k) and its derivative, as SCF's code takes them from SciPy."""

    @staticmethod
    def forward(ctx, order: float, kappa: Tensor) -> Tensor:
        ctx.order = order
        ctx.save_for_backward(kappa)
        return torch.from_numpy(special.ive(order, kappa.detach().cpu().numpy())).to(kappa)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:
        (kappa,) = ctx.saved_tensors
        k = kappa.detach().cpu().numpy()
        slope = special.ive(ctx.order - 1, k) - special.ive(ctx.order, k) * (ctx.order + k) / k
        return None, gradient * torch.from_numpy(np.asarray(slope)).to(kappa)


def _row(batch: int, dtype: torch.dtype, target: float, best: float, calls: int) -> Row:
    generator = torch.Generator().manual_seed(0)
    kappa = torch.exp(torch.rand(batch, generator=generator) * 9 + 1)  # 2.7 .. 22,000
    ours = kappa.to(dtype).requires_grad_()
    theirs = kappa.requires_grad_()

    def direct() -> None:
        for _ in range(calls):
            (log_ive(ORDER, ours) + ours).sum().backward()

    def round_trip() -> None:
        for _ in range(calls):
            (torch.log(GUARD + ScipyIve.apply(ORDER, theirs)) + theirs).sum().backward()

    def limit() -> None:
        with torch.no_grad():
            for _ in range(calls):
                ours.log(), ours.sqrt()

    seconds, reference, least = (t / calls for t in alternate(direct, round_trip, limit))
    precision = str(dtype).removeprefix("torch.")
    note = f"{precision}; theirs: log(1e-6 + SciPy ive) + k, float32; limit: one log and one sqrt"
    return Row(
        f"log-Bessel fwd+bwd, {batch:,}", seconds, reference, target, best, least / seconds, note
    )
