"""Curves of the trainings: trunk, branches and heads, one value an epoch.

They are no deps of the stage: a training writes them together with its model, on which the report
depends, and an imported trunk has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.core.errors import InputError
from stages.report.gallery import Picture
from stages.report.pictures import INK, OTHERS, STYLE, WIDE, png

TRAINED = "train"  # value of `trunk` that names the stage
CURVES = Path("plots/metrics")  # in the folder of a training
FIRST = "loss"  # of the metrics, the one that is minimised
PANEL, MARGIN = 1.35, 0.95  # inches: height of a panel, of what stands around all of them
LEFT, SHARE = 0.15, 0.81  # of the width: left of a panel, of a panel


def training_pictures(
    params: dict[str, Any], metrics: Path = Path("metrics")
) -> dict[str, Picture]:
    """A picture of each kind of training with curves in `metrics`; `training_<name>`.

    Args:
        params: params.yaml; its lists say which trainings there are.
    """
    found = {}
    for name, (title, members) in _trainings(params).items():
        curves = {label: _read(metrics / folder / CURVES) for label, folder in members.items()}
        curves = {label: table for label, table in curves.items() if len(table)}
        if curves:
            spoken = "; ".join(_words(label, table) for label, table in curves.items())
            found[f"training_{name}"] = Picture(
                title, f"{title}, first and last epoch. {spoken}.", png(_draw(curves))
            )
    return found


def _trainings(params: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """Name of a picture -> its title, and label -> folder of each training that it shows."""
    trunk = {"trunk": TRAINED} if params["trunk"] == TRAINED else {}
    branches = {f"{side} px": f"distill/{side}" for side in params["resolutions"]}
    heads = {
        f"head_{name}": (f"Training of the head {name}", {name: f"head/{name}"})
        for name in params["heads"]
    }
    return {
        "trunk": ("Training of the trunk", trunk),
        "branches": ("Training of the branches", branches),
        **heads,
    }


def _read(folder: Path) -> pd.DataFrame:
    """The curves in `folder`, which one training wrote: a column each, rows are epochs from 1."""
    columns = {}
    for path in sorted(folder.glob("*.tsv"), key=lambda path: (path.stem != FIRST, path.stem)):
        table = pd.read_csv(path, sep="\t")
        if list(table.columns) != ["step", path.stem]:
            problem = f"its columns are {', '.join(table.columns)}, not step, {path.stem}"
            raise InputError(path, problem, "run the stage that trained this model again")
        columns[path.stem] = table.set_index(table["step"] + 1)[path.stem]
    return pd.DataFrame(columns)


def _draw(curves: dict[str, pd.DataFrame]) -> Figure:
    """A panel for each metric, over epochs; a line for each training."""
    metrics = list(dict.fromkeys(metric for table in curves.values() for metric in table))
    height = PANEL * len(metrics) + MARGIN
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDE, height))
        for place, metric in enumerate(metrics):
            bottom = (MARGIN - 0.1 + PANEL * (len(metrics) - 1 - place)) / height
            axes = figure.add_axes((LEFT, bottom, SHARE, (PANEL - 0.25) / height))
            colours = OTHERS if len(curves) > 1 else [INK]
            for (label, table), colour in zip(curves.items(), colours, strict=False):
                if metric in table:
                    axes.plot(table.index, table[metric], color=colour, label=label, marker=".")
            axes.set_ylabel(metric)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.tick_params(labelbottom=place == len(metrics) - 1)
        axes.set_xlabel("epoch")
        figure.align_ylabels()
        if len(curves) > 1:
            handles = figure.axes[0].lines
            figure.legend(handles=handles, loc="lower center", ncols=len(handles))
    return figure


def _words(label: str, table: pd.DataFrame) -> str:
    ends = ", ".join(
        f"{m} {values.iloc[0]:.4g} to {values.iloc[-1]:.4g}" for m, values in table.items()
    )
    return f"{label}: {ends}"
