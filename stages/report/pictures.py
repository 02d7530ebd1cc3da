"""Pictures of the report, drawn with matplotlib's Agg canvas; equal inputs give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from statistics import NormalDist

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from stages.report.results import NATIVE, PIXELS, SETTING, UPSAMPLED

DPI = 110
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a93a0",
    "axes.labelcolor": "#2b3440",
    "xtick.color": "#57616e",
    "ytick.color": "#57616e",
    "axes.grid": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}
INK, GREY = "#1d2733", "#8a93a0"
GENUINE, IMPOSTOR = "#1f6f8b", "#d1662b"
HEAT = LinearSegmentedColormap.from_list("heat", ["#f4f1e8", "#9fc9c3", "#2f8192", "#123f5a"])
# One hue a kind of setting (native against low: blues; low against itself: oranges), darker = more
# pixels, so that a curve says which setting it is without the legend.
AGAINST_NATIVE = ["#1d5fa6", "#3b9fd1", "#96cde8"]
AGAINST_ITSELF = ["#8c2d04", "#e0702c", "#f5b183"]
OTHERS = [
    *("#3a7d44", "#93c47d", "#7b3fa0", "#c79be0", "#a67c00", "#e0bd4f"),
    *("#1d5fa6", "#96cde8", "#b5342b", "#5f6b7a"),
]  # rows that are no setting
PROBABILITIES = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99]
WIDE, HIGH = 4.8, 4.8  # inches of a picture of curves
LABELS, LEGEND_ROW = 0.68, 0.2  # inches below the axes, and of a line of the legend
LONG_NAME = 7.5  # letters of a mean name of which four do not fit beside each other
LABEL_SHARE = 0.1  # of a probit axis that a label takes
SHOWN = 0.95  # share of pairs discarded, past which too few are left
RIDGE = 0.48  # inches from one row of the score picture to the next
PEAK = 0.85  # height of a histogram in units of that distance
FACE, GAP, LABEL = 112, 8, 28  # pixels of a face, between faces, and for the number below one
DARK = 0.55  # above this share of the colour range a number is written in white


def png(figure: Figure) -> bytes:
    """The figure as a PNG, without the name of the software: it would change with a version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def heat_map(values: pd.DataFrame, title: str, limits: tuple[float, float]) -> Figure:
    """One system's headline metric by resolution pair: columns r1, r2, value; rows are r1.

    Pairs that are not measured stay empty. `limits` are the ends of the colours, so that two maps
    side by side can be compared.
    """
    sides = sorted({*values["r1"], *values["r2"]}, reverse=True)
    grid = np.full((len(sides), len(sides)), np.nan)
    for r1, r2, value in zip(values["r1"], values["r2"], values["value"], strict=True):
        grid[sides.index(r1), sides.index(r2)] = value
    with mpl.rc_context({**STYLE, "axes.grid": False, "font.size": 12}):
        figure = Figure(figsize=(4.3, 4.0))
        axes = figure.add_axes((0.17, 0.14, 0.81, 0.78))
        axes.imshow(grid, cmap=HEAT, vmin=limits[0], vmax=limits[1])
        labels = [str(side) for side in sides]
        axes.set_xticks(range(len(sides)), labels)
        axes.set_yticks(range(len(sides)), labels)
        axes.set(xlabel="second image (px)", ylabel="first image (px)")
        axes.set_title(title, fontsize=13, color=INK)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        span = max(limits[1] - limits[0], np.finfo(float).eps)
        for row, column in np.argwhere(~np.isnan(grid)):
            share = (grid[row, column] - limits[0]) / span
            colour = "white" if share > DARK else INK
            text = f"{100 * grid[row, column]:.1f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=15)
    return figure


def roc(curves: pd.DataFrame) -> Figure:
    """ROC of every row of one benchmark: columns row, fmr, tmr; FMR on a logarithmic axis."""
    return _log_curve(curves, "fmr", "tmr", "false match rate", "true match rate")


def open_set(curves: pd.DataFrame) -> Figure:
    """Open-set search: columns row, fpir, tpir; FPIR on a logarithmic axis."""
    names = "false positive identification rate", "true positive identification rate"
    return _log_curve(curves, "fpir", "tpir", *names)


def det(curves: pd.DataFrame) -> Figure:
    """DET of every row of one benchmark: columns row, fmr, fnmr; both axes probit.

    On probit axes (Martin et al., Eurospeech 1997) normally distributed scores give straight lines.
    Rates of 0 lie on the edge of the picture.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        floors = [_floor(curves["fmr"]), _floor(curves["fnmr"])]
        for row, curve in curves.groupby("row", sort=False):
            x, y = (_probit(curve[k], f) for k, f in zip(["fmr", "fnmr"], floors, strict=True))
            axes.plot(x, y, label=row, **_line(row, curves))
        for axis, floor in zip([axes.xaxis, axes.yaxis], floors, strict=True):
            marks = _marks(floor)
            axis.set_ticks(_probit(marks, floor), [f"{100 * p:g}%" for p in marks])
        axes.set(xlim=_ends(floors[0]), ylim=_ends(floors[1]))
        axes.set(xlabel="false match rate", ylabel="false non-match rate")
        _legend(axes)
    return figure


def cmc(curves: pd.DataFrame) -> Figure:
    """Cumulative match characteristic of every row of one benchmark: columns row, rank, rate."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        for row, curve in curves.groupby("row", sort=False):
            axes.plot(curve["rank"], curve["rate"], label=row, **_line(row, curves))
        low, last = float(curves["rate"].min()), float(curves["rank"].max())
        axes.set(xlim=(1, max(last, 2)), ylim=(max(0.0, low - 0.05), 1.01))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="rank", ylabel="share of mates found")
        _legend(axes)
    return figure


def edc(curves: pd.DataFrame) -> Figure:
    """Errors that remain as the least trusted pairs are discarded: columns row, discard, fnmr."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        for row, curve in curves.groupby("row", sort=False):
            axes.step(curve["discard"], curve["fnmr"], where="post", label=row,
                      **_line(row, curves))  # fmt: skip
        axes.set(xlim=(0, SHOWN), xlabel="share of pairs discarded", ylabel="false non-match rate")
        axes.set_ylim(bottom=0)
        _legend(axes)
    return figure


def scores(histograms: pd.DataFrame, rows: Sequence[str]) -> Figure:
    """Genuine and impostor scores, one ridge a row: columns row, kind, score, count.

    Each ridge is scaled to its own peak: shapes and overlap are comparable, heights are not.
    """
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        height = RIDGE * len(rows) + 1.15
        figure = Figure(figsize=(WIDE, height))
        axes = figure.add_axes((0.2, 0.6 / height, 0.77, RIDGE * len(rows) / height))
        for place, row in enumerate(rows):
            base = len(rows) - 1 - place
            axes.axhline(base, color="#e6e9ee", linewidth=0.8)
            for kind, colour in (("impostor", IMPOSTOR), ("genuine", GENUINE)):
                mine = histograms[(histograms["row"] == row) & (histograms["kind"] == kind)]
                if mine["count"].sum() == 0:
                    continue
                top = base + PEAK * mine["count"] / mine["count"].max()
                axes.fill_between(mine["score"], base, top, color=colour, alpha=0.45, linewidth=0)
                axes.plot(mine["score"], top, color=colour, linewidth=1.0)
        axes.set_yticks(range(len(rows)), rows[::-1])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        seen = histograms.loc[histograms["count"] > 0, "score"]
        axes.set(xlabel="score", xlim=(seen.min() - 0.05, seen.max() + 0.05))
        axes.set_ylim(-0.1, len(rows) - 1 + 1.1 * PEAK)
        handles = [
            Line2D([], [], color=colour, linewidth=6, alpha=0.6, label=label)
            for colour, label in ((GENUINE, "same person"), (IMPOSTOR, "different people"))
        ]
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def faces(images: Sequence[np.ndarray], texts: Sequence[str], columns: int) -> Figure:
    """A sheet of faces with a line below each.

    Args:
        images: uint8 RGB [h, w, 3] of any size, row by row.
        texts: of each.
        columns: faces in a row of the sheet.
    """
    return _sheet([[image] for image in images], texts, columns)


def face_pairs(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], texts: Sequence[str], columns: int
) -> Figure:
    """A sheet of pairs of faces side by side, with a line below each pair; as `faces`."""
    return _sheet(pairs, texts, columns)


def _sheet(groups: Sequence[Sequence[np.ndarray]], texts: Sequence[str], columns: int) -> Figure:
    rows, side = -(-len(groups) // columns), len(groups[0]) * FACE
    wide, high = side + GAP, FACE + LABEL
    sheet = np.full((rows * high, columns * wide, 3), 255, np.uint8)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(sheet.shape[1] / DPI, sheet.shape[0] / DPI))
        for place, (images, text) in enumerate(zip(groups, texts, strict=True)):
            top, left = place // columns * high, place % columns * wide
            for k, image in enumerate(images):
                sheet[top : top + FACE, left + k * FACE : left + (k + 1) * FACE] = _fitted(image)
            x, y = (left + side / 2) / sheet.shape[1], 1 - (top + FACE + 4) / sheet.shape[0]
            figure.text(x, y, text, ha="center", va="top", color=INK)
        figure.figimage(sheet)
    return figure


def _fitted(image: np.ndarray) -> np.ndarray:
    """`image` in the middle of a FACE x FACE square, its longer side filling it."""
    import cv2

    height, width = image.shape[:2]
    scale = FACE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = image if scale == 1 else cv2.resize(image, size, interpolation=method)
    square = np.full((FACE, FACE, 3), 255, np.uint8)
    top, left = (FACE - size[1]) // 2, (FACE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def _log_curve(curves: pd.DataFrame, x: str, y: str, x_name: str, y_name: str) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        floor = _floor(curves[x])
        for row, curve in curves.groupby("row", sort=False):
            axes.plot(np.maximum(curve[x], floor), curve[y], label=row, **_line(row, curves))
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set(xlim=(floor, 1), ylim=(0, 1.01), xlabel=x_name, ylabel=y_name)
        _legend(axes)
    return figure


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDE, HIGH))
    return figure, figure.add_axes((0.15, 0.1, 0.81, 0.88))


def _line(row: str, curves: pd.DataFrame) -> dict:
    if row == PIXELS:
        return {"color": GREY, "linestyle": ":", "linewidth": 1.4}
    match = SETTING.fullmatch(row)
    if not match:
        others = [name for name in curves["row"].unique() if not SETTING.fullmatch(name)]
        return {"linewidth": 1.6, "color": OTHERS[others.index(row) % len(OTHERS)]}
    style = {"linewidth": 1.1, "linestyle": "--"} if match["system"] else {"linewidth": 1.8}
    if int(match["r1"]) < int(match["r2"]):
        style["linestyle"] = (0, (3, 1, 1, 1)) if match["system"] else "-."
    return {"color": _colour(int(match["r1"]), int(match["r2"]), curves), **style}


def _colour(r1: int, r2: int, curves: pd.DataFrame) -> str:
    """By the lower resolution, and whether the other is higher."""
    if r1 == r2 == NATIVE:
        return INK
    matches = [SETTING.fullmatch(row) for row in curves["row"].unique()]
    low = sorted({min(int(m["r1"]), int(m["r2"])) for m in matches if m} - {NATIVE}, reverse=True)
    hues = AGAINST_ITSELF if r1 == r2 else AGAINST_NATIVE
    return hues[low.index(min(r1, r2)) % len(hues)]


def _legend(axes: Axes) -> None:
    upsampled = [line for line in axes.lines if line.get_label().startswith(UPSAMPLED)]
    handles = [line for line in axes.lines if line not in upsampled]
    if upsampled:
        handles.append(Line2D([], [], color=GREY, linestyle="--", label=UPSAMPLED))
    letters = sum(len(handle.get_label()) for handle in handles) / len(handles)
    columns = 4 if letters < LONG_NAME else 3
    axes.figure.legend(handles=handles, loc="lower center", ncols=columns)
    rows = -(-len(handles) // columns)
    bottom = (LABELS + LEGEND_ROW * rows) / HIGH
    axes.set_position((0.15, bottom, 0.81, 0.98 - bottom))


def _floor(rates: pd.Series) -> float:
    """The edge of a logarithmic axis: half of the smallest rate above 0, never above 1 %."""
    positive = rates[rates > 0]
    return min(float(positive.min()) / 2 if len(positive) else 0.01, 0.01)


def _probit(rates: Sequence[float], floor: float) -> list[float]:
    normal = NormalDist()
    return [normal.inv_cdf(min(max(float(rate), floor), 1 - floor)) for rate in rates]


def _marks(floor: float) -> list[float]:
    """The PROBABILITIES to label on a probit axis from `floor` on, none too close to the next."""
    low, high = _ends(floor)
    kept: list[float] = []
    for p in reversed([p for p in PROBABILITIES if p >= floor]):
        (here,) = _probit([p], floor)
        if not kept or _probit([kept[-1]], floor)[0] - here > LABEL_SHARE * (high - low):
            kept.append(p)
    return kept[::-1]


def _ends(floor: float) -> tuple[float, float]:
    low, high = _probit([floor, 1 - floor], floor)
    return low, min(high, NormalDist().inv_cdf(0.99))
