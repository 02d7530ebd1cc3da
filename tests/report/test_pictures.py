"""Pictures of ordinary and of degenerate results, and the arithmetic of their axes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from stages.report import gallery, pictures
from stages.report.quality import Quality

PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"benchmark": "b", "row": "112&112", **columns})


PERFECT = {
    "roc": table(fmr=[0.0, 0.0, 1.0], tmr=[0.0, 1.0, 1.0]),
    "det": table(fmr=[0.0, 0.0, 1.0], fnmr=[1.0, 0.0, 0.0]),
    "cmc": table(rank=[1], rate=[1.0]),
    "open_set": table(fpir=[0.0, 1.0], tpir=[1.0, 1.0]),
    "edc": table(discard=[0.0], fnmr=[0.0]),
    "scores": table(kind=["genuine", "impostor"], score=[0.5, 0.5], count=[3, 0]),
}


@pytest.mark.parametrize("kind", PERFECT)
def test_results_without_errors_can_be_drawn(kind: str) -> None:
    """One hundred percent is where logarithms and probits end; the picture must not."""
    curves = {name: PERFECT[name].iloc[:0] for name in PERFECT} | {kind: PERFECT[kind]}
    found = gallery.curve_pictures("b", curves)
    assert list(found) == [f"{kind}_b"]
    assert found[f"{kind}_b"].png.startswith(PNG)
    assert "112&112" in found[f"{kind}_b"].alt


def test_the_order_of_resolutions_shows_in_the_line() -> None:
    settings = ["112&112", "112&14", "112&7", "14&112", "7&112", "14&14", "7&7"]
    rows = [*settings, *(f"upsampled {setting}" for setting in settings), "pixels", "kappa"]
    curves = pd.DataFrame({"row": rows})
    lines = [pictures._line(row, curves) for row in rows]
    assert len({tuple(sorted((key, str(x[key])) for key in x)) for x in lines}) == len(rows)


def test_a_benchmark_without_curves_has_no_pictures() -> None:
    assert gallery.curve_pictures("other", PERFECT) == {}


def test_probit_is_the_normal_quantile_and_ends_at_the_floor() -> None:
    rates = [0.0, 1e-5, 0.01, 0.3, 0.5, 0.99, 1.0]
    expected = norm.ppf(np.clip(rates, 1e-4, 1 - 1e-4))
    assert pictures._probit(rates, 1e-4) == pytest.approx(list(expected))


def test_the_axis_starts_below_the_smallest_rate() -> None:
    assert pictures._floor(pd.Series([0.0, 0.004, 1.0])) == 0.002
    assert pictures._floor(pd.Series([0.5, 1.0])) == 0.01
    assert pictures._floor(pd.Series([0.0, 0.0])) == 0.01


@pytest.mark.parametrize("floor", [0.01, 1e-3, 1e-4, 1e-6])
def test_labels_of_a_probit_axis_do_not_touch(floor: float) -> None:
    marks = pictures._marks(floor)
    assert marks == sorted(marks)
    assert min(marks) >= floor
    steps = np.diff(norm.ppf(marks)) / np.ptp(pictures._ends(floor))
    assert steps.min() > pictures.LABEL_SHARE
    assert len(marks) >= 5


def test_equal_figures_give_equal_bytes_without_software_or_date() -> None:
    first, second = (pictures.png(pictures.roc(PERFECT["roc"])) for _ in range(2))
    assert first == second
    assert b"Software" not in first
    assert b"matplotlib" not in first
    assert b"tIME" not in first


def test_heat_maps_share_one_scale_and_name_their_cells() -> None:
    values = {("branch", 112): 0.9, ("branch", 7): 0.7, ("upsampled", 112): 0.9,
              ("upsampled", 7): 0.5}  # fmt: skip
    maps = pd.DataFrame(
        [["b", "accuracy", system, 112, r2, value] for (system, r2), value in values.items()],
        columns=["benchmark", "metric", "system", "r1", "r2", "value"],
    )
    found = gallery.heat_map_pictures("b", maps)
    assert list(found) == ["heatmap_b_branch", "heatmap_b_upsampled"]
    assert "112&7 70.0 %" in found["heatmap_b_branch"].alt
    assert "112&7 50.0 %" in found["heatmap_b_upsampled"].alt
    assert gallery.heat_map_pictures("b", maps.assign(value=1.0))
    assert gallery.heat_map_pictures("other", maps) == {}


def test_a_face_of_any_size_fills_its_square_and_keeps_its_shape() -> None:
    wide = np.zeros((10, 20, 3), np.uint8)
    square = pictures._fitted(wide)
    assert square.shape == (pictures.FACE, pictures.FACE, 3)
    dark = square[:, :, 0] < 128
    assert dark.sum() == pictures.FACE * pictures.FACE // 2
    assert dark.any(axis=0).all()
    same = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    assert (pictures._fitted(same) == same).all()


def test_strips_are_of_the_resolution_a_model_sees() -> None:
    values = {side: np.arange(6, dtype=np.float32) for side in (112, 7)}
    qualities = [Quality("norm, trunk", "norm_trunk", values),
                 Quality("norm, branches", "norm_branch", values, low=True)]  # fmt: skip
    image = np.zeros((8, 8, 3), np.uint8)
    found = gallery.face_pictures(qualities, np.arange(6), 2, lambda row: image)
    assert list(found) == ["faces_norm_trunk_112", "faces_norm_branch_7"]
    assert "(4 and more)" in found["faces_norm_trunk_112"].alt
    assert "(1 and less)" in found["faces_norm_trunk_112"].alt
    assert gallery.face_pictures(qualities, np.zeros(6), 2, lambda row: image) == {}
