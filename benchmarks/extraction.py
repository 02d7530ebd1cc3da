"""Embeddings a second: a folded, channels-last network against the same network as trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks._measure import Row, alternate
from stages.networks import iresnet

BATCH = 8
SIDE = 112
FLOP_PER_IMAGE = {50: 12.62e9}
GEMM_SIDE = 2048
TARGET, BEST = 1.25, 1.32


def rows() -> list[Row]:
    depth = 50
    network = _network(depth)
    folded = iresnet.fold(network)
    images = torch.rand(BATCH, 3, SIDE, SIDE) * 2 - 1
    nhwc = images.contiguous(memory_format=torch.channels_last)
    square = torch.rand(GEMM_SIDE, GEMM_SIDE)

    @torch.no_grad()
    def eager() -> torch.Tensor:
        return network(images)

    @torch.inference_mode()
    def ours() -> torch.Tensor:
        return folded(nhwc)

    fast, plain, product = alternate(ours, eager, lambda: square @ square)
    gemm = 2 * GEMM_SIDE**3 / product  # FLOP/s
    share = BATCH * FLOP_PER_IMAGE[depth] / gemm / fast
    cosine = F.cosine_similarity(ours(), eager()).min().item()
    note = (
        f"{BATCH / fast:.1f} img/s, batch {BATCH}, cosine at least {cosine:.6f}; "
        f"theirs: eager, no_grad; limit: this machine's matrix product, {gemm / 1e9:.0f} GFLOP/s"
    )
    return [Row(f"extraction, iresnet{depth}", fast, plain, TARGET, BEST, share, note)]


def _network(depth: int) -> iresnet.IResNet:
    """Random weights, with the running statistics of one batch so that values stay in range."""
    torch.manual_seed(0)
    network = iresnet.build(iresnet.Params(depth=depth)).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.rand(BATCH, 3, SIDE, SIDE) * 2 - 1)
    return network.eval()
