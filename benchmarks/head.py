"""Classifier of a training batch, forward and backward, against a plainly written ArcFace head.

Each is a process of its own, since the stage also keeps freed memory.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._measure import Row, Task, apart
from stages.losses import arcface
from stages.losses._classifier import Classifier

BATCH, EMBEDDING = 32, 512
SCALE, MARGIN = 64.0, 0.5
# (classes, target ratio, best ratio known)
CASES = ((1_000, 1.0, 3.7), (100_000, 1 / 0.35, 3.1))
MEMORY_TARGET = 0.45  # of theirs
TOLERANCE = 1e-12


def rows() -> list[Row]:
    _require_equal_gradients(classes=1_000)
    return [_row(*case) for case in CASES]


class Head:
    """One batch, and the two ways to its gradients."""

    def __init__(self, classes: int, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(0)
        margin = arcface.build(arcface.Params(scale=SCALE, margin=MARGIN))
        self.classifier = Classifier(EMBEDDING, classes, margin).to(dtype)
        self.centres = self.classifier.centres
        self.x = torch.randn(BATCH, EMBEDDING, dtype=dtype, requires_grad=True)
        self.y = torch.randint(classes, (BATCH,))

    def ours(self) -> None:
        self._descend(lambda: self.classifier(self.x, self.y).total)

    def theirs(self) -> None:
        self._descend(lambda: plain(self.x, self.centres, self.y))

    def _descend(self, loss) -> None:
        self.x.grad = self.centres.grad = None
        loss().backward()


def plain(x: Tensor, centres: Tensor, y: Tensor) -> Tensor:
    """ArcFace as its code is usually written: normalise, multiply, add the margin by a one-hot."""
    cosine = F.linear(F.normalize(x), F.normalize(centres)).clamp(-1, 1)
    margin = torch.zeros_like(cosine).scatter_(1, y[:, None], MARGIN)
    return F.cross_entropy(SCALE * torch.cos(torch.acos(cosine) + margin), y)


def peak_mb(side: str, classes: int) -> float:
    """What one forward and backward adds to the peak memory of this, a fresh, process."""
    head = Head(classes)
    Head(classes=10).ours(), Head(classes=10).theirs()  # what libraries allocate once
    before = _peak_kb()
    getattr(head, side)()
    return (_peak_kb() - before) / 1024


def _peak_kb() -> int:
    """Of this program; getrusage's would include that of the one which started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def _row(classes: int, target: float, best: float) -> Row:
    ours, theirs, least = apart(_tasks, classes, count=3)
    memory = [_peak_mb_of_fresh_process(side, classes) for side in ("ours", "theirs")]
    note = f"batch {BATCH}; limit: its three products; adds {memory[0]:.0f} MB"
    if memory[1] > 0:
        note += f", {memory[0] / memory[1]:.2f} of theirs (target {MEMORY_TARGET:g})"
    return Row(f"head fwd+bwd, {classes:,}", ours, theirs, target, best, least / ours, note)


def _tasks(classes: int) -> tuple[Task, Task, Task]:
    """Ours, theirs, and the three products."""
    head = Head(classes)
    gradient = torch.randn(BATCH, classes)
    x, centres = head.x.detach(), head.centres.detach()

    def limit() -> None:
        _ = x @ centres.t(), gradient @ centres, gradient.t() @ x

    return head.ours, head.theirs, limit


def _peak_mb_of_fresh_process(side: str, classes: int) -> float:
    code = f"from benchmarks.head import peak_mb; print(peak_mb({side!r}, {classes}))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def _require_equal_gradients(classes: int) -> None:
    """The two sides compute the same thing, to rounding in float64."""
    head = Head(classes, torch.float64)
    found = []
    for side in (head.ours, head.theirs):
        side()
        found.append((head.x.grad, head.centres.grad))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()
