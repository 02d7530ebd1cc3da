"""Draws docs/images/pipeline.png from the table of stages in docs/architecture.md.

    python docs/images/pipeline.py

A stage's column follows from the data it reads; a stage that is added to the table appears.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

FOLDER = Path(__file__).parent
TABLE = FOLDER.parent / "architecture.md"
GATE = "check"  # stands before every stage, so it is a band, not a box
INK, SOFT, LINE, PAPER = "#1d2733", "#57616e", "#9aa4b1", "#ffffff"
# Colour says what comes out: data, models, or numbers and pictures.
FILLS = {"data": "#e4eff1", "models": "#f6e7da", "metrics": "#e8e6f2", "plots": "#e8e6f2"}
LEGEND = {"data": "images and features", "models": "models", "metrics": "numbers and pictures"}
# Words of the column `reads` that stand for what other stages write.
SPOKEN = {
    "trunk": "models/train",
    "models": "models/",
    "metrics": "metrics/",
    "tables": "data/unpack/",
}
WIDE, HIGH, GAP_X, GAP_Y = 1.62, 1.5, 0.42, 0.5  # inches of a box, and between boxes
MARGIN, BAND, FOOT = 0.15, 0.5, 0.4
BUS = 0.24  # inches between the lines that lead around boxes
DPI = 130


@dataclass(frozen=True)
class Stage:
    name: str
    does: str
    reads: str
    writes: list[str]

    @property
    def output(self) -> str:
        return self.writes[0]

    def takes(self, other: Stage) -> bool:
        """It reads something that `other`, another stage, writes."""
        if other is self:
            return False
        roots = [path.split("<")[0].rstrip(".") for path in re.findall(r"`([^`]+)`", self.reads)]
        roots += [root for word, root in SPOKEN.items() if word in self.reads.split(", ")]
        return any(
            path.startswith(root) or root.startswith(path.split("<")[0])
            for root in roots
            for path in other.writes
        )


def read_stages(text: str) -> list[Stage]:
    """The rows of the table whose head starts with `stage`, in their order."""
    stages = []
    for line in text.split("| stage |", 1)[1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        name, does, reads, writes = (cell.strip() for cell in line.strip("|").split("|"))
        stages.append(Stage(name, does, reads, re.findall(r"`([^`]+)`", writes)))
    return stages


def columns(stages: list[Stage]) -> list[list[Stage]]:
    """Stages by the longest way to them: what a stage reads lies left of it."""
    depth: dict[str, int] = {}
    for stage in stages:
        before = [
            depth[other.name] for other in stages if other.name in depth and stage.takes(other)
        ]
        depth[stage.name] = 1 + max(before, default=-1)
    return [[s for s in stages if depth[s.name] == k] for k in range(max(depth.values()) + 1)]


@dataclass(frozen=True)
class Place:
    """Column, and the lower left corner of a box in inches."""

    column: int
    x: float
    y: float


def draw(stages: list[Stage]) -> Figure:
    gate = next(stage for stage in stages if stage.name == GATE)
    stages = [stage for stage in stages if stage.name != GATE]
    grid = columns(stages)
    rows = max(len(column) for column in grid)
    tall = rows * HIGH + (rows - 1) * GAP_Y
    width = 2 * MARGIN + len(grid) * WIDE + (len(grid) - 1) * GAP_X
    floor = MARGIN + FOOT + 2 * BUS
    height = floor + tall + 2 * BUS + BAND + MARGIN
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()

    places = {}
    for k, column in enumerate(grid):
        top = floor + tall / 2 + (len(column) * HIGH + (len(column) - 1) * GAP_Y) / 2
        for row, stage in enumerate(column):
            y = top - HIGH - row * (HIGH + GAP_Y)
            places[stage.name] = Place(k, MARGIN + k * (WIDE + GAP_X), y)
            _box(axes, stage, places[stage.name])
    _Arrows(axes, places, [len(column) for column in grid], floor, floor + tall).draw(stages)
    _band(axes, gate, width, height)
    _legend(axes)
    return figure


class _Arrows:
    """Straight to the next column or through a gap, else around the boxes above or below."""

    def __init__(self, axes, places: dict[str, Place], heights: list[int], floor: float,
                 ceiling: float) -> None:  # fmt: skip
        self.axes, self.places, self.heights = axes, places, heights
        self.floor, self.ceiling = floor, ceiling
        self.middle = (floor + ceiling) / 2

    def draw(self, stages: list[Stage]) -> None:
        around: dict[tuple[str, bool], list[Place]] = {}
        outputs = {stage.name: stage.output for stage in stages}
        for stage in stages:
            target = self.places[stage.name]
            for source in (other for other in stages if stage.takes(other)):
                start = self.places[source.name]
                if self._free(start.column, target.column):
                    self._straight(start, target)
                else:
                    above = target.y > self.middle
                    around.setdefault((source.name, above), []).append(target)
        for above in (True, False):
            buses = [key for key in around if key[1] == above]
            # The source furthest to the right gets the line nearest to the boxes: no crossings.
            buses.sort(key=lambda key: -self.places[key[0]].column)
            for level, key in enumerate(buses, start=1):
                self._around(self.places[key[0]], around[key], level, above, outputs[key[0]])

    def _free(self, start: int, end: int) -> bool:
        return all(self.heights[k] % 2 == 0 for k in range(start + 1, end))

    def _straight(self, start: Place, end: Place) -> None:
        self._arrow((start.x + WIDE, start.y + HIGH / 2), (end.x, end.y + HIGH / 2))

    def _around(self, start: Place, ends: list[Place], level: int, above: bool, label: str) -> None:
        line = self.ceiling + level * BUS if above else self.floor - level * BUS
        edge = HIGH if above else 0
        x, last = start.x + WIDE / 2, max(end.x for end in ends) + WIDE / 2
        self.axes.plot([x, x, last], [start.y + edge, line, line], color=LINE, linewidth=1.3,
                       zorder=0, solid_joinstyle="round")  # fmt: skip
        for end in ends:
            self._arrow((end.x + WIDE / 2, line), (end.x + WIDE / 2, end.y + edge))
        self.axes.text(x + 0.12, line + 0.03, label, va="bottom", color=SOFT, fontsize=7,
                       family="monospace")  # fmt: skip

    def _arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.axes.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=LINE,
                            linewidth=1.3, shrinkA=0, shrinkB=1, zorder=0)
        )  # fmt: skip


def _band(axes, gate: Stage, width: float, height: float) -> None:
    y = height - MARGIN - BAND
    _rounded(axes, (MARGIN, y), width - 2 * MARGIN, BAND, "#f2f3f5")
    text = f"{gate.does.replace('`', '')}: one second, before every stage"
    middle = y + BAND / 2
    axes.text(MARGIN + 0.1, middle, gate.name, va="center", color=INK, weight="bold", fontsize=12)
    axes.text(MARGIN + 0.9, middle, text, va="center", color=SOFT, fontsize=9.5)


def _box(axes, stage: Stage, place: Place) -> None:
    x, y = place.x, place.y
    _rounded(axes, (x, y), WIDE, HIGH, FILLS[stage.output.split("/")[0]])
    axes.text(x + 0.1, y + HIGH - 0.12, stage.name, va="top", color=INK, weight="bold", fontsize=12)
    words = stage.does.replace("`", "").replace("->", "\u2192")
    body = "\n".join(textwrap.wrap(words, 23)[:4])
    axes.text(x + 0.1, y + HIGH - 0.4, body, va="top", color=SOFT, fontsize=8, linespacing=1.3)
    path = stage.output if len(stage.output) < 24 else stage.output.replace("/<", "/\n<", 1)
    axes.text(x + 0.1, y + 0.1, path, va="bottom", color=INK, fontsize=7, family="monospace")


def _rounded(axes, corner: tuple[float, float], width: float, height: float, fill: str) -> None:
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=fill, edgecolor="none")
    )


def _legend(axes) -> None:
    x = MARGIN
    for kind, text in LEGEND.items():
        _rounded(axes, (x, MARGIN + 0.02), 0.2, 0.16, FILLS[kind])
        axes.text(x + 0.28, MARGIN + 0.1, text, va="center", color=SOFT, fontsize=8.5)
        x += 0.55 + 0.075 * len(text)


def main() -> None:
    figure = draw(read_stages(TABLE.read_text()))
    figure.savefig(FOLDER / "pipeline.png", dpi=DPI, metadata={"Software": None})


if __name__ == "__main__":
    main()
