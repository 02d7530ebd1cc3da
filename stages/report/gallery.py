"""Which pictures the report shows, each with a title and with words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stages.report import pictures
from stages.report.quality import Quality, extremes
from stages.report.results import NATIVE, UPSAMPLED

SPOKEN_RATE = 0.01  # false match rate at which the words beside a curve read it
SPOKEN_FPIR = 0.1
SYSTEMS = ("branch", UPSAMPLED)
PAIRS_A_ROW, FACES_A_ROW = 3, 8


@dataclass(frozen=True)
class Picture:
    """A PNG, the line below it, and its alternative text."""

    title: str
    alt: str
    png: bytes


def heat_map_pictures(benchmark: str, maps: pd.DataFrame) -> dict[str, Picture]:
    """One picture a system, on a common colour scale; `heatmap_<benchmark>_<system>`."""
    mine = maps[maps["benchmark"] == benchmark]
    found = {}
    for system in SYSTEMS:
        values = mine[mine["system"] == system]
        if len(mine) < 2 or not len(values):
            continue
        limits = (float(mine["value"].min()), float(mine["value"].max()))
        metric = values["metric"].iloc[0]
        spoken = ", ".join(f"{v.r1}&{v.r2} {100 * v.value:.1f} %" for v in values.itertuples())
        found[f"heatmap_{benchmark}_{system}"] = Picture(
            f"{system}: {metric} in % by resolution pair",
            f"Heat map of {metric}, {benchmark}, {system}: {spoken}.",
            pictures.png(pictures.heat_map(values, system, limits)),
        )
    return found


def curve_pictures(benchmark: str, curves: dict[str, pd.DataFrame]) -> dict[str, Picture]:
    """A picture of each kind of curve that `benchmark` has; `<kind>_<benchmark>`."""
    found = {}
    for kind, (draw, title, speak) in KINDS.items():
        mine = curves[kind][curves[kind]["benchmark"] == benchmark]
        if len(mine):
            found[f"{kind}_{benchmark}"] = Picture(
                title, f"{title}, {benchmark}. {speak(mine)}.", pictures.png(draw(mine))
            )
    return found


def face_pictures(
    qualities: Sequence[Quality],
    identity: np.ndarray,
    count: int,
    image: Callable[[int], np.ndarray],
) -> dict[str, Picture]:
    """Best and worst faces: `faces_<quality>_<side>`, for each side a model has its own view of.

    Args:
        qualities: of one image set.
        identity: what tells images of the set apart, one entry an image.
        count: faces in each row.
        image: row -> uint8 RGB image.
    """
    found = {}
    for quality in qualities:
        sides = [side for side in quality.values if side != NATIVE] if quality.low else [NATIVE]
        for side in sides:
            values = quality.values[side]
            rows = extremes(values, identity, count)
            half = len(rows) // 2
            if not half:
                continue
            texts = [f"{value:.4g}" for value in values[rows]]
            figure = pictures.faces([image(row) for row in rows], texts, half)
            found[f"faces_{quality.key}_{side}"] = Picture(
                f"{quality.name}, {side} px: best above, worst below",
                f"The {half} faces of highest {quality.name} at {side} px "
                f"({values[rows[half - 1]]:.4g} and more) above the {half} of lowest "
                f"({values[rows[half]]:.4g} and less).",
                pictures.png(figure),
            )
    return found


def hardest_pictures(
    benchmark: str, row: str, pairs: pd.DataFrame, image: Callable[[int], np.ndarray]
) -> dict[str, Picture]:
    """`hardest_<kind>_<benchmark>`: genuine pairs of low and impostor pairs of high score.

    Args:
        row: whose pairs are shown.
        pairs: columns benchmark, row, kind, score, first, second (rows of the aligned index).
        image: row -> uint8 RGB image.
    """
    found = {}
    mine = pairs[(pairs["benchmark"] == benchmark) & (pairs["row"] == row)]
    mine = mine[(mine["first"] >= 0) & (mine["second"] >= 0)]
    for kind, what in (("genuine", "one person, least alike"),
                       ("impostor", "two people, most alike")):  # fmt: skip
        some = mine[mine["kind"] == kind]
        if not len(some):
            continue
        shown = [(image(a), image(b)) for a, b in zip(some["first"], some["second"], strict=True)]
        texts = [f"{score:.3f}" for score in some["score"]]
        found[f"hardest_{kind}_{benchmark}"] = Picture(
            f"Hardest {kind} pairs ({what}) and their scores, {row}",
            f"The {len(some)} {kind} pairs of {benchmark} that {row} finds hardest, "
            f"of scores {', '.join(texts)}.",
            pictures.png(pictures.face_pairs(shown, texts, min(len(some), PAIRS_A_ROW))),
        )
    return found


def failure_pictures(
    benchmark: str, row: str, people: pd.DataFrame, image: Callable[[int], np.ndarray]
) -> dict[str, Picture]:
    """`failures_<benchmark>`: the people most of whose genuine pairs are missed.

    Args:
        row: that misses them.
        people: columns benchmark, row, person, missed, pairs, image (row of the aligned index).
        image: row -> uint8 RGB image.
    """
    mine = people[(people["benchmark"] == benchmark) & (people["row"] == row)]
    mine = mine[mine["image"] >= 0]
    if not len(mine):
        return {}
    texts = [f"{m} of {n}" for m, n in zip(mine["missed"], mine["pairs"], strict=True)]
    figure = pictures.faces([image(k) for k in mine["image"]], texts, min(len(mine), FACES_A_ROW))
    title = f"People who fail most: genuine pairs missed at a false match rate of 1 %, {row}"
    alt = f"{title}, {benchmark}, a face of each: {', '.join(texts)}."
    return {f"failures_{benchmark}": Picture(title, alt, pictures.png(figure))}


def _roc_words(curves: pd.DataFrame) -> str:
    reached = curves[curves["fmr"] <= SPOKEN_RATE].groupby("row", sort=False)["tmr"].max()
    return f"True match rate at a false match rate of at most 1 %: {_listed(reached)}"


def _det_words(curves: pd.DataFrame) -> str:
    reached = curves[curves["fmr"] <= SPOKEN_RATE].groupby("row", sort=False)["fnmr"].min()
    return f"False non-match rate at a false match rate of at most 1 %: {_listed(reached)}"


def _cmc_words(curves: pd.DataFrame) -> str:
    first = curves[curves["rank"] == 1].groupby("row", sort=False)["rate"].first()
    return f"Share of mates found first: {_listed(first)}"


def _open_set_words(curves: pd.DataFrame) -> str:
    reached = curves[curves["fpir"] <= SPOKEN_FPIR].groupby("row", sort=False)["tpir"].max()
    return f"Share found at a false positive rate of at most 10 %: {_listed(reached)}"


def _edc_words(curves: pd.DataFrame) -> str:
    ends = curves.sort_values("discard").groupby("row", sort=False)["fnmr"].agg(["first", "last"])
    return "From the first to the last point: " + ", ".join(
        f"{row} {100 * first:.1f} % to {100 * last:.1f} %" for row, first, last in ends.itertuples()
    )


def _score_words(histograms: pd.DataFrame) -> str:
    parts = []
    for row in _plain_rows(histograms):
        mine = histograms[histograms["row"] == row]
        means = [
            np.average(part["score"], weights=part["count"])
            for part in (mine[mine["kind"] == "genuine"], mine[mine["kind"] == "impostor"])
            if part["count"].sum()
        ]
        parts.append(f"{row} " + " and ".join(f"{mean:.2f}" for mean in means))
    return f"Mean of genuine and of impostor scores: {', '.join(parts)}"


def _listed(values: pd.Series) -> str:
    """One share a row, upsampled rows left out: words that are read aloud should end."""
    plain = [(row, value) for row, value in values.items() if not row.startswith(UPSAMPLED)]
    return ", ".join(f"{row} {100 * value:.1f} %" for row, value in plain)


def _plain_rows(table: pd.DataFrame) -> list[str]:
    return [row for row in table["row"].unique() if not row.startswith(UPSAMPLED)]


def _scores(histograms: pd.DataFrame) -> Figure:
    return pictures.scores(histograms, _plain_rows(histograms))


# kind of curve -> (how it is drawn, the line below it, the words instead of it)
KINDS = {
    "roc": (pictures.roc, "ROC: solid the branches, dashed the upsampled images", _roc_words),
    "det": (pictures.det, "DET on probit axes: lower is better", _det_words),
    "cmc": (pictures.cmc, "CMC: mates found within a rank", _cmc_words),
    "open_set": (pictures.open_set, "Open-set search: TPIR over FPIR", _open_set_words),
    "edc": (pictures.edc, "EDC: FNMR as the least trusted pairs are discarded", _edc_words),
    "scores": (_scores, "Scores, each row scaled to its own peak", _score_words),
}
