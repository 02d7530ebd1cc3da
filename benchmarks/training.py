"""A training step (forward, backward, clip, SGD; head of 1,000 classes) against eager float32.

Theirs is the published trainers' loop on the same network: contiguous images, nn.PReLU, a head that
normalises, multiplies and adds its margin by a one-hot, clip_grad_norm_, torch's SGD. Ours is what
the stage train does with a batch: channels last, its own head, and autocast in the rows of bf16.
Each is a process of its own, since the stage also keeps freed memory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._measure import NO_BF16, Row, Task, apart, cause_of_bf16, has_bf16
from benchmarks.head import plain
from stages.core.gradients import Descent
from stages.core.optim import build_optimizer
from stages.core.schedule import Schedule
from stages.losses import arcface
from stages.losses._classifier import Classifier
from stages.networks import iresnet, mobilefacenet

CLASSES, EMBEDDING, SIDE = 1_000, 512, 112
CENTRE_STD = 0.01
RECIPE = Schedule(epochs=1, batch=32, lr=0.1, clip=5.0)
ROUNDS = 5
GEMM_SIDE = 2048
EMULATED_BATCH = 2  # where bf16 is emulated, which is slow
CONVOLUTIONS = "convolutions and their gradients, the same on both sides, are nearly all of a step."


def _iresnet(depth: int) -> nn.Module:
    return iresnet.build(iresnet.Params(depth=depth, embedding=EMBEDDING))


def _mobilefacenet() -> nn.Module:
    return mobilefacenet.build(mobilefacenet.Params(embedding=EMBEDDING))


class Case(NamedTuple):
    """A network, images a step, and (target, best known) of each precision."""

    name: str
    build: Callable[[], nn.Module]
    batch: int
    fp32: tuple[float, float]
    bf16: tuple[float, float]


CASES = (
    Case("iresnet18", lambda: _iresnet(18), 32, (1.3, 1.30), (2.4, 4.0)),
    Case("mobilefacenet", _mobilefacenet, 32, (1.3, 1.30), (1.3, 1.37)),
    Case("iresnet50", lambda: _iresnet(50), 8, (1.1, 1.14), (2.4, 2.4)),
)


def rows() -> list[Row]:
    return [row for case in CASES for row in _compare(case)]


def _compare(case: Case) -> list[Row]:
    real = has_bf16()
    emulated = "" if real else f"; {NO_BF16}"
    return [
        _row(case, "fp32", case.batch, case.fp32, ""),
        _row(case, "bf16", case.batch if real else EMULATED_BATCH, case.bf16, emulated),
    ]


def _row(case: Case, precision: str, batch: int, aim: tuple[float, float], note: str) -> Row:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        case.build().train()(torch.rand(batch, 3, SIDE, SIDE))
    flop = 3 * counter.get_total_flops()  # backward multiplies twice, by weights and by maps
    half, number = precision == "bf16", CASES.index(case)
    ours_s, theirs_s, gemm_s = apart(_tasks, number, batch, half, count=3, rounds=ROUNDS)
    limit = flop * gemm_s / (2 * GEMM_SIDE**3)
    note = f"{batch / ours_s:.1f} img/s, batch {batch}; theirs: eager fp32{note}"
    name = f"training step, {case.name}, {precision}"
    note += f"; limit: {'bf16' if half and has_bf16() else 'fp32'} matrix product"
    cause = cause_of_bf16() if half else CONVOLUTIONS
    return Row(name, ours_s, theirs_s, *aim, limit / ours_s, note, cause)


def _tasks(number: int, batch: int, half: bool) -> tuple[Task, Task, Task]:
    """Ours, theirs and a matrix product, for CASES[number]."""
    torch.manual_seed(0)
    network = CASES[number].build().train()
    images = torch.rand(batch, 3, SIDE, SIDE) * 2 - 1
    labels = torch.randint(CLASSES, (batch,))
    square = torch.rand(GEMM_SIDE, GEMM_SIDE)
    square = square.bfloat16() if half and has_bf16() else square
    return (
        _ours(copy.deepcopy(network), images, labels, half),
        _theirs(network, images, labels),
        lambda: square @ square,
    )


def _ours(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, half: bool) -> Task:
    network.to(memory_format=torch.channels_last)
    classifier = Classifier(EMBEDDING, CLASSES, arcface.build(arcface.Params()))
    modules = {"network": network, "classifier": classifier}
    descent = Descent("step", modules, build_optimizer(RECIPE, modules), RECIPE.clip, None)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        descent.begin()
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            embedding = network(images)
        loss = classifier(embedding, labels).total
        descent.backward(loss, last=True)
        descent.move({"loss": loss.detach()}, 0)

    return step


def _theirs(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Task:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.PReLU):
                setattr(module, name, nn.PReLU(child.num_parameters))
    centres = nn.Parameter(torch.randn(CLASSES, EMBEDDING) * CENTRE_STD)
    optimizer = torch.optim.SGD(
        [*network.parameters(), centres], RECIPE.lr, RECIPE.momentum, weight_decay=5e-4
    )

    def step() -> None:
        optimizer.zero_grad()
        plain(network(images), centres, labels).backward()
        nn.utils.clip_grad_norm_(network.parameters(), RECIPE.clip)
        optimizer.step()

    return step
