"""Draws docs/images/branch.png: the way of one 14-pixel face through its branch and the trunk.

    python -m docs.images.branch

Shapes are those of real tensors: a forward pass of the published networks (iresnet50) is watched.
The face is the first of the embedded test images (`make repro` first).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from stages.datasets._resize import resize
from stages.datasets._store import ImageStore
from stages.networks import iresnet

FOLDER = Path(__file__).parent
IMAGES = Path("data/align/orl_templates")
SIDE, FULL, STAGES = 14, 112, (1, 2, 3, 4)
INK, SOFT = "#1d2733", "#57616e"
BRANCH, TRUNK, UNUSED = "#f2c79a", "#b9d4da", "#eef1f4"
STEP, GAP_Y, DPI = 1.75, 3.0, 130
TRUNK_Y, BRANCH_Y = 0.0, -GAP_Y


@dataclass(frozen=True)
class Map:
    """One tensor on the way: what makes it, and its shape without the batch."""

    name: str
    shape: tuple[int, ...]


def watch(network: torch.nn.Module, side: int, run) -> dict[str, tuple[int, ...]]:
    """Shapes of the outputs of the stem and of each stage's first block and end, by name."""
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str):
        return lambda module, inputs, output: shapes.__setitem__(name, tuple(output.shape[1:]))

    hooks = [network.prelu.register_forward_hook(keep("stem"))]
    for stage in range(1, network.depth + 1):
        blocks = network.layer(stage)
        hooks.append(blocks[0].register_forward_hook(keep(f"layer{stage}.0")))
        if len(blocks) > 1:
            hooks.append(blocks[-1].register_forward_hook(keep(f"layer{stage}.{len(blocks) - 1}")))
    with torch.inference_mode():
        run(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return shapes


def draw() -> Figure:
    params = iresnet.Params(depth=50)
    trunk, branch = iresnet.build(params).eval(), iresnet.build_branch(params, SIDE).eval()
    whole = watch(trunk, FULL, trunk)
    front = watch(branch, SIDE, branch)
    names = list(whole)
    join = names.index(f"layer{branch.depth}.0")
    width = STEP * (len(names) + 2)
    figure = Figure(figsize=(width * 0.78, 5.6), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.3, width - 0.5), ylim=(BRANCH_Y - 1.75, TRUNK_Y + 2.0), aspect="equal")
    axes.set_axis_off()
    place = {name: STEP * (i + 1) for i, name in enumerate(names)}

    face = ImageStore(IMAGES).image(0)
    _face(axes, face, 0, TRUNK_Y, FULL)
    _face(axes, resize(face, SIDE, "pil_bilinear"), 0, BRANCH_Y, SIDE)
    for i, name in enumerate(names):
        _map(axes, Map(name, whole[name]), place[name], TRUNK_Y, TRUNK if i > join else UNUSED)
    for name, shape in front.items():
        _map(axes, Map(name, shape), place[name], BRANCH_Y, BRANCH)
    embedding = STEP * (len(names) + 1)
    axes.text(embedding, TRUNK_Y, f"embedding\n{params.embedding}", ha="center", va="center")
    for y, last in ((TRUNK_Y, embedding), (BRANCH_Y, place[names[join]])):
        for x in np.arange(0, last - STEP / 2, STEP):
            _arrow(axes, (x + 0.52, y), (x + STEP - 0.62, y))
    start, end = place[names[join]], place[names[join + 1]]
    _arrow(axes, (start + 0.45, BRANCH_Y + 0.5), (end - 0.35, TRUNK_Y - 0.95))
    shape = " x ".join(map(str, front[names[join]]))
    axes.text(
        (start + end) / 2 + 0.6,
        (TRUNK_Y + BRANCH_Y) / 2 - 0.1,
        f"implanted: {shape},\nas large as the trunk's own",
        color=SOFT,
        fontsize=9,
    )
    axes.text(-1.1, TRUNK_Y + 1.5, f"trunk, {FULL} px", fontsize=11, weight="bold", color=INK)
    axes.text(-1.1, BRANCH_Y + 1.35, f"branch, {SIDE} px", fontsize=11, weight="bold", color=INK)
    legend = "pale: not run for this face; blue: the trunk's rest; orange: the branch's own weights"
    axes.text(-1.1, BRANCH_Y - 1.6, legend, fontsize=9, color=SOFT)
    return figure


def _face(axes, image: np.ndarray, x: float, y: float, side: int) -> None:
    axes.imshow(image, extent=(x - 0.5, x + 0.5, y - 0.5, y + 0.5), interpolation="nearest")
    axes.text(x, y - 0.8, f"3 x {side} x {side}", ha="center", fontsize=8, color=SOFT)


def _map(axes, map_: Map, x: float, y: float, colour: str) -> None:
    half = 0.16 + 0.09 * np.log2(map_.shape[-1] / 3.5)
    axes.add_patch(
        Rectangle((x - half, y - half), 2 * half, 2 * half, fc=colour, ec=SOFT, lw=0.8, zorder=3)
    )
    axes.text(x, y + 0.85, map_.name, ha="center", fontsize=9, color=INK)
    shape = " x ".join(map(str, map_.shape))
    axes.text(x, y - 0.8, shape, ha="center", fontsize=8, color=SOFT)


def _arrow(axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=SOFT, lw=0.9)
    axes.add_patch(arrow)


if __name__ == "__main__":
    draw().savefig(FOLDER / "branch.png", dpi=DPI)
