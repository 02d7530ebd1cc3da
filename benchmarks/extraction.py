"""Embeddings a second: a folded, channels-last network against the same network as trained.

Ours takes the images in pieces whose maps stay in the cache, as the stage extract does by its
parameter `batch`; theirs takes them at once. Each is a process of its own, since the stage also
keeps freed memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks._measure import NO_BF16, Row, Task, apart, cause_of_bf16, has_bf16
from stages.core.params import load
from stages.datasets._store import ImageStore
from stages.extract.inference import for_inference
from stages.extract.params import Params
from stages.networks._files import load_trunk

SIDE = 112
GEMM_SIDE = 2048
PIECE = 8  # images
NEAR = 0.9  # share of the limit
AT_LIMIT = "ours is as fast as the matrix product, and eager is not far from it on this processor."
HALF_TARGET = 4.5  # in bfloat16, where the processor multiplies such numbers
TRAINED, FACES = Path("models/train"), Path("data/align/orl_templates")  # of this pipeline


class Case(NamedTuple):
    """One network.

    Attributes:
        name, settings: of the network.
        batch: images.
        flop: per image.
        target, best: ratios in float32 to reach, and reached by anything.
        half_best: the best ratio in bfloat16.
    """

    name: str
    settings: dict[str, int]
    batch: int
    flop: float
    target: float
    best: float
    half_best: float


CASES = (
    Case("iresnet", {"depth": 50}, 16, 12.62e9, 1.25, 1.32, 6.27),
    Case("mobilefacenet", {}, 32, 0.442e9, 1.7, 2.26, 5.01),
)


def rows() -> list[Row]:
    dtypes = [torch.float32] + [torch.bfloat16] * has_bf16()
    return [*(_row(case, dtype) for case in CASES for dtype in dtypes), _trained_row()]


def _row(case: Case, dtype: torch.dtype) -> Row:
    fast, plain, product = apart(_tasks, CASES.index(case), dtype, count=3)
    gemm = 2 * GEMM_SIDE**3 / product  # FLOP/s
    share = case.batch * case.flop / gemm / fast
    ours, eager, _ = _tasks(CASES.index(case), dtype)
    cosine = F.cosine_similarity(ours(), eager()).min().item()
    note = (
        f"{case.batch / fast:.1f} img/s, {case.batch} images, cosine at least {cosine:.6f}; "
        "theirs: eager, no_grad, at once; "
        f"limit: this machine's matrix product, {gemm / 1e9:.0f} GFLOP/s"
    )
    half = dtype == torch.bfloat16
    target, best = (HALF_TARGET, case.half_best) if half else (case.target, case.best)
    name = f"extraction, {case.name}{case.settings.get('depth', '')}"
    cause = cause_of_bf16() if half else AT_LIMIT if share > NEAR else ""
    return Row(f"{name}, bf16" if half else name, fast, plain, target, best, share, note, cause)


def _tasks(number: int, dtype: torch.dtype) -> tuple[Task, Task, Task]:
    """Ours, theirs and a matrix product, for CASES[number]."""
    case = CASES[number]
    torch.manual_seed(0)
    family, params = load("networks", case.name, case.settings, "backbone")
    images = torch.rand(case.batch, 3, SIDE, SIDE) * 2 - 1
    network = _calibrated(family.build(params), images)
    square = torch.rand(GEMM_SIDE, GEMM_SIDE).to(dtype)
    return *_both(family.fold(network, dtype), network, images), lambda: square @ square


def _trained_row() -> Row:
    """Trained weights on faces they have never seen, in bfloat16."""
    fast, plain = apart(_trained_tasks, count=2, rounds=2)
    ours, eager = _trained_tasks()
    cosines = F.cosine_similarity(ours(), eager())
    note = (
        f"{len(cosines) / fast:.1f} img/s, {len(cosines)} unseen faces by the trunk of "
        f"{TRAINED}, cosine at least {cosines.min().item():.5f}, {cosines.mean().item():.6f} on "
        f"average; theirs: eager fp32{'' if has_bf16() else '; ' + NO_BF16}"
    )
    return Row(
        "extraction, trained, bf16", fast, plain, HALF_TARGET, None, None, note, cause_of_bf16()
    )


def _trained_tasks() -> tuple[Task, Task]:
    trunk, store = load_trunk(TRAINED), ImageStore(FACES)
    pixels = store.images(np.arange(len(store)))
    images = trunk.contract.normalise(torch.from_numpy(pixels))
    folded = for_inference(trunk, Params(precision="bf16"), torch.device("cpu"))
    return _both(folded, trunk.network, images)


def _both(folded: nn.Module, network: nn.Module, images: torch.Tensor) -> tuple[Task, Task]:
    """Ours and theirs."""
    nhwc = images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def ours() -> torch.Tensor:
        return torch.cat([folded(piece) for piece in nhwc.split(PIECE)])

    @torch.no_grad()
    def eager() -> torch.Tensor:
        return network(images)

    return ours, eager


def _calibrated(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """With the running statistics of one batch, so that values stay in range."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(images)
    return network.eval()
