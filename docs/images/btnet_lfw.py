"""Draws docs/images/btnet_lfw.png: branch minus upsampled trunk, from docs/results/lfw.csv.

python -m docs.images.btnet_lfw
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from docs.results.lfw import SETTINGS
from docs.results.lfw_tables import WORDS, Figures, experiments, read

PICTURE = Path(__file__).with_name("btnet_lfw.png")
METRICS = ("auc", "tar@far=1e-2")
COLOURS = {"plain": "#b3541e", "long": "#7a8b3c", "res": "#1f6f8b", "mag": "#6d597a"}
MARKS = "osD^"
SPREAD, DPI = 0.6, 130  # of the experiments around a setting's line


def draw(figures: Figures) -> Figure:
    """A panel a metric, a line a setting, a point with its interval an experiment."""
    names = experiments(figures, "lfw_all_pairs", SETTINGS[0])
    figure = Figure(figsize=(9, 4.2), facecolor="white", layout="constrained")
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(names)) if len(names) > 1 else [0.0]
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for axes, metric in zip(panels, METRICS, strict=True):
        axes.axvline(0, color="#57616e", lw=0.8)
        for name, offset in zip(names, offsets, strict=True):
            kind, _, seed = name.partition("-")
            found = [
                figures[name, "lfw_all_pairs", setting, metric, f"upsampled {setting}"]
                for setting in SETTINGS
            ]
            change, low, high = (
                100 * np.array([(x.change, x.change_low, x.change_high) for x in found]).T
            )
            axes.errorbar(
                change,
                np.arange(len(SETTINGS)) + offset,
                xerr=(change - low, high - change),
                fmt=MARKS[int(seed)],
                color=COLOURS[kind],
                capsize=2,
                ms=5,
                lw=1.2,
                label=name,
            )
        axes.set(yticks=range(len(SETTINGS)), yticklabels=SETTINGS)
        axes.set_xlabel(f"{WORDS[metric]}: branch minus upsampled trunk, points")
        axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()
    panels[0].legend(frameon=False, fontsize=8, loc="upper right")
    return figure


if __name__ == "__main__":
    draw(read()).savefig(PICTURE, dpi=DPI, metadata={"Software": None})
