"""Reading what evaluate wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from stages.core.errors import InputError
from stages.report.params import Headline
from stages.report.results import (
    COLUMNS,
    FAMILIES,
    evaluated,
    headline_cells,
    heat_maps,
    read_curves,
    read_results,
    row_order,
    with_family_means,
)
from tests.report.synthetic import SETTINGS, write_results

BENCHMARKS = {"b": {"protocol": "pairs", "dataset": "d"}}


def write(folder: Path, values: dict) -> Path:
    write_results(folder, "b", values, 0.01)
    return folder / "metrics/evaluate"


def test_cells_carry_value_interval_and_count(tmp_path: Path) -> None:
    cells = read_results(["b"], write(tmp_path, {"112&112": {"accuracy": 0.9}}))
    assert list(cells.columns) == COLUMNS
    row = cells.iloc[0]
    assert (row["value"], row["low"], row["high"], row["count"]) == (0.9, 0.89, 0.91, 600)
    assert row["method"].startswith("bootstrap")


def test_a_missing_interval_is_a_gap_not_a_failure(tmp_path: Path) -> None:
    folder = write(tmp_path, {"112&112": {"accuracy": 0.9}})
    (folder / "b.intervals.json").write_text(json.dumps({"b": {"112&112": {"accuracy": {
        "value": 0.9, "low": None, "high": None, "count": 3, "method": "m"}}}}))  # fmt: skip
    cells = read_results(["b"], folder)
    assert math.isnan(cells["low"][0])
    assert math.isnan(cells["high"][0])


@pytest.mark.parametrize("content", [None, "{", '{"other": {}}', "[]"])
def test_metrics_that_cannot_be_read_name_their_file(tmp_path: Path, content: str | None) -> None:
    folder = write(tmp_path, {"112&112": {"accuracy": 0.9}})
    (folder / "b.json").unlink() if content is None else (folder / "b.json").write_text(content)
    with pytest.raises(InputError, match=r"b\.json"):
        read_results(["b"], folder)


def test_rows_and_metrics_come_in_a_readers_order(tmp_path: Path) -> None:
    rows = [*SETTINGS, "upsampled 112&28", "upsampled 7&7", "kappa", "mean", "pixels"]
    assert sorted(sorted(rows), key=row_order) == rows
    cells = read_results(["b"], write(tmp_path, {"mean": {"rank10": 1, "rank5": 1, "rank1": 1}}))
    assert list(cells["metric"]) == ["rank1", "rank5", "rank10"]


def test_headline_is_the_chosen_cell_or_the_first(tmp_path: Path) -> None:
    values = {
        "112&112": {"accuracy": 0.9, "auc": 0.95},
        "112&7": {"accuracy": 0.8, "auc": 0.85},
    }
    cells = read_results(["b"], write(tmp_path, values))

    def headline(**chosen) -> tuple[str, str]:
        wanted = {"pairs": Headline(**chosen)} if chosen else {}
        cell = headline_cells(cells, BENCHMARKS, wanted)["b"]
        return cell.metric, cell.row

    assert headline() == ("accuracy", "112&112")
    assert headline(metrics=["auc"], row="112&7") == ("auc", "112&7")
    assert headline(metrics=["tar@far=1e-6", "auc", "accuracy"]) == ("auc", "112&112")
    assert headline(metrics=["tar@far=1e-6"]) == ("accuracy", "112&112")
    assert headline(metrics=["auc"], row="nobody") == ("auc", "112&112")


def test_a_benchmark_without_metrics_is_refused(tmp_path: Path) -> None:
    cells = read_results(["b"], write(tmp_path, {"112&112": {}}))
    with pytest.raises(InputError, match="holds no metric"):
        headline_cells(cells, BENCHMARKS, {})


def test_the_heat_map_puts_each_setting_at_its_resolutions(tmp_path: Path) -> None:
    values = {"112&112": 0.9, "112&7": 0.7, "upsampled 112&7": 0.6, "pixels": 0.5}
    cells = read_results(["b"], write(tmp_path, {r: {"accuracy": v} for r, v in values.items()}))
    maps = heat_maps(cells, {"b": "accuracy"})
    found = {(m.system, m.r1, m.r2): m.value for m in maps.itertuples()}
    assert found == {
        ("branch", 112, 112): 0.9,
        ("upsampled", 112, 112): 0.9,
        ("branch", 112, 7): 0.7,
        ("upsampled", 112, 7): 0.6,
    }


def test_the_interval_of_a_mean_is_that_of_independent_packs() -> None:
    """Naive: variances add, so equal half widths h shrink to h / sqrt(n)."""
    packs = FAMILIES["hq5-mean"]
    cells = pd.DataFrame(
        [[p, "112&112", "accuracy", 0.9 + k / 100, 0.9 + k / 100 - 0.02, 0.9 + k / 100 + 0.01,
          100, "m", "112&112", "tenfold"] for k, p in enumerate(packs)],
        columns=[*COLUMNS, "setting", "protocol"],
    )  # fmt: skip
    mean = with_family_means(cells).iloc[-1]
    assert mean["benchmark"] == "hq5-mean"
    assert mean["value"] == pytest.approx(0.92)
    assert mean["low"] == pytest.approx(0.92 - 0.02 / math.sqrt(5))
    assert mean["high"] == pytest.approx(0.92 + 0.01 / math.sqrt(5))
    assert mean["count"] == 500
    assert "fewer than" not in mean["method"]
    cells.loc[2, "method"] = "m; fewer than 10 errors"
    assert "fewer than 10 errors" in with_family_means(cells).iloc[-1]["method"]
    cells.loc[0, "protocol"] = "tenfold+flip"  # packs measured differently have no common mean
    assert len(with_family_means(cells)) == len(cells)


def packs_of(values: dict[str, tuple[float, float, float]]) -> pd.DataFrame:
    """A cell of each pack: value, low, high."""
    return pd.DataFrame(
        [[p, "112&112", "accuracy", *cell, 100, "m", "112&112", "tenfold"]
         for p, cell in values.items()],
        columns=[*COLUMNS, "setting", "protocol"],
    )  # fmt: skip


def test_a_mean_of_unlike_packs_weighs_each_end_by_itself() -> None:
    """Below .03 and .04 make .05 / 2, above .05 and .12 make .13 / 2; a lost end is lost."""
    cells = packs_of({"mine": (0.8, 0.77, 0.85), "yours": (0.6, 0.56, 0.72)})
    mean = with_family_means(cells, ["mine", "yours"]).iloc[-1]
    assert mean["value"] == pytest.approx(0.7)
    assert mean["low"] == pytest.approx(0.7 - 0.025)
    assert mean["high"] == pytest.approx(0.7 + 0.065)
    assert mean["count"] == 200
    for end, other in (("low", "high"), ("high", "low")):
        without = cells.assign(**{end: [math.nan, cells[end][1]]})
        found = with_family_means(without, ["mine", "yours"]).iloc[-1]
        assert math.isnan(found[end])
        assert found[other] == mean[other]


def test_a_mean_is_of_one_row_measured_in_one_way_in_every_pack() -> None:
    """Two of three packs have no mean, nor have two rows of one, nor two ways of measuring."""
    cells = packs_of({name: (0.8, 0.7, 0.9) for name in ("a", "b", "c")})
    packs = ["a", "b", "c"]
    assert len(with_family_means(cells, packs)) == 4
    assert len(with_family_means(cells.iloc[:2], packs)) == 2
    for column in ("row", "metric", "setting", "protocol"):
        other = cells.assign(**{column: [cells[column][0]] * 2 + ["other"]})
        assert len(with_family_means(other, packs)) == 3, column
    other = cells.assign(row="7&7", setting="7&7", value=[0.1, 0.2, 0.6])
    means = with_family_means(pd.concat([cells, other]), packs).iloc[6:]
    assert dict(zip(means["row"], means["value"], strict=True)) == pytest.approx(
        {"112&112": 0.8, "7&7": 0.3}
    )


def test_a_test_set_goes_only_with_the_last_of_its_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.report.results.outdated", lambda *_: None)
    of = {"a": "both", "b": "both", "c": "lost", "d": "own"}
    entries = {name: {"protocol": "pairs", "dataset": dataset} for name, dataset in of.items()}
    params = {"benchmarks": entries, "test_sets": ["lost", "both", "own", "none"], "seed": 1}
    for name in ("b", "d"):
        write_results(tmp_path, name, {}, 0)
    found, missing = evaluated(params)
    assert missing == dict.fromkeys(["a", "c"], "it has no results")
    assert list(found["benchmarks"]) == ["b", "d"]
    assert (found["test_sets"], found["seed"]) == (["both", "own", "none"], 1)


def test_any_packs_have_a_mean_of_their_own() -> None:
    cells = pd.DataFrame(
        [[p, "112&112", "accuracy", v, v - 0.01, v + 0.01, 100, "m", "112&112", "tenfold"]
         for p, v in (("mine", 0.8), ("yours", 0.9), ("theirs", 0.1))],
        columns=[*COLUMNS, "setting", "protocol"],
    )  # fmt: skip
    *same, mean = with_family_means(cells, ["mine", "yours"]).to_dict("records")
    assert len(same) == 3
    assert mean["benchmark"] == "mean-of-2-packs"
    assert mean["value"] == pytest.approx(0.85)
    assert len(with_family_means(cells, ["mine"])) == 3
    packs = list(FAMILIES["hq5-mean"])
    known = pd.concat([cells.iloc[:1].assign(benchmark=pack) for pack in packs])
    assert with_family_means(known, packs)["benchmark"].tolist() == [*packs, "hq5-mean"]


def test_curves_of_benchmarks_that_have_them_are_put_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b/roc.csv").write_text("row,fmr,tmr,more\n112&112,0.1,0.9,1\n")
    table = read_curves(["a", "b"], "roc", tmp_path)
    assert table.to_dict("records") == [
        {"benchmark": "b", "row": "112&112", "fmr": 0.1, "tmr": 0.9}
    ]
    assert list(read_curves(["a"], "roc", tmp_path).columns) == ["benchmark", "row", "fmr", "tmr"]
    with pytest.raises(InputError, match="no column fnmr"):
        (tmp_path / "b/det.csv").write_text("row,fmr\n112&112,0.1\n")
        read_curves(["b"], "det", tmp_path)
