"""Measured beside published: only the same quantity is paired, and every table keeps its rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stages.report.conditions import with_conditions
from stages.report.pairing import SAME, pair
from stages.report.published import read_published
from stages.report.results import FAMILIES, read_results, with_family_means
from tests.report.synthetic import write_results

VALUE, HALF = 0.9950, 0.0020
OPENCV = {"extract": {"resampler": "opencv_linear"}}
LFW = {"lfw": {"protocol": "pairs", "dataset": "lfw"}}


def measured(folder: Path, benchmarks: dict, rows: dict[str, float] | None = None) -> pd.DataFrame:
    """A pack measured in `folder`, read as the stage reads it."""
    for name in benchmarks:
        values = {row: {"accuracy": v} for row, v in (rows or {"112&112": VALUE}).items()}
        write_results(folder, name, values, HALF, count=6000)
    cells = read_results(benchmarks, folder / "metrics/evaluate")
    return with_family_means(with_conditions(cells, {"benchmarks": benchmarks, **OPENCV}))


def test_a_pack_stands_beside_every_published_row_of_its_protocol(tmp_path: Path) -> None:
    paired = pair(measured(tmp_path, LFW), read_published())
    # AdaFace's own table is the only one on LFW whose protocol is ten folds with the flip test.
    assert set(zip(paired["paper"], paired["table"], strict=True)) == {("adaface", "hq")}
    assert len(paired) == 10
    assert not paired.duplicated(["backbone", "train_set"]).any()
    assert (paired["measured"] == VALUE).all()
    assert paired["difference"].to_numpy() == pytest.approx(VALUE - paired["published"].to_numpy())


def test_the_published_value_lies_in_the_interval_or_not(tmp_path: Path) -> None:
    paired = pair(measured(tmp_path, LFW), read_published())
    within = {}
    for line in paired.itertuples():
        assert line.within == (abs(line.published - VALUE) <= HALF + 1e-12)
        within[f"{line.backbone} {line.train_set}"] = line.within
    assert within["ir18 webface4m"]  # 99.53
    assert not within["ir18 casia"]  # 99.13
    assert not within["ir101 ms1mv2"]  # 99.82


def test_quoted_and_reevaluated_tables_are_not_mixed_into_one(tmp_path: Path) -> None:
    """One (method, backbone, training set) has rows in several tables; each stands alone."""
    published = read_published()
    published["protocol"] = published["protocol"].replace("unknown", "tenfold+flip")
    paired = pair(measured(tmp_path, LFW), published)
    same = paired[(paired["backbone"] == "ir50") & (paired["train_set"] == "casia")]
    assert dict(zip(same["table"], same["published"], strict=True)) == pytest.approx(
        {"hq": 0.9942, "cvlface-reeval": 0.9937}
    )


@pytest.mark.parametrize("column", SAME)
def test_nothing_is_paired_when_one_of_the_four_differs(tmp_path: Path, column: str) -> None:
    cells = measured(tmp_path, LFW)
    assert len(pair(cells.assign(**{column: "other"}), read_published())) == 0


def test_unknown_and_throughput_are_never_paired(tmp_path: Path) -> None:
    published = read_published()
    cells = published[published["protocol"].isin(["unknown", "throughput"])].drop_duplicates(SAME)
    cells = cells.assign(low=cells["value"], high=cells["value"], count=1)
    assert len(pair(cells, published)) == 0


def test_the_flip_test_decides(tmp_path: Path) -> None:
    plain = {"lfw": {**LFW["lfw"], "flip": False}}
    assert len(pair(measured(tmp_path, plain), read_published())) == 0
    magface = {"lfw": {**LFW["lfw"], "flip": False, "distance": "angle", "centre": True}}
    paired = pair(measured(tmp_path, magface), read_published())
    assert list(paired["paper"]) == ["magface"]
    assert list(paired["published"]) == pytest.approx([0.9983])


def test_upsampled_rows_are_no_row_of_a_paper(tmp_path: Path) -> None:
    cells = measured(tmp_path, LFW, {"upsampled 112&112": VALUE, "pixels": VALUE})
    assert len(pair(cells, read_published())) == 0


def test_orl_pairs_with_nothing(tmp_path: Path) -> None:
    orl = {"orl_pairs": {"protocol": "pairs", "dataset": "orl_pack"}}
    assert len(pair(measured(tmp_path, orl), read_published())) == 0


def test_btnets_mean_is_paired_once_all_six_packs_are_measured(tmp_path: Path) -> None:
    packs = {name: {"protocol": "pairs", "dataset": name} for name in FAMILIES["lfw-family-mean"]}
    rows = {"112&112": 0.97, "112&7": 0.85}
    paired = pair(measured(tmp_path, packs, rows), read_published())
    btnet = paired[paired["paper"] == "btnet"].set_index("setting")
    assert btnet["published"].to_dict() == pytest.approx({"112&7": 0.8610, "112&112": 0.9725})
    assert btnet["measured"].to_dict() == pytest.approx({"112&7": 0.85, "112&112": 0.97})
    packs.pop("cfp_ff")
    paired = pair(measured(tmp_path, packs, rows), read_published())
    assert "btnet" not in set(paired["paper"])
    assert "hq5-mean" in set(paired["benchmark"])


def test_two_rows_of_one_quantity_pair_once(tmp_path: Path) -> None:
    ijb = {"ijbc-1to1": {"protocol": "templates", "dataset": "ijbc", "pick": "nearest",
                         "descriptor": "norm"}}  # fmt: skip
    values = {row: {"tar@far=1e-4": 0.95} for row in ("112&112", "norm")}
    write_results(tmp_path, "ijbc-1to1", values, HALF)
    cells = with_conditions(
        read_results(ijb, tmp_path / "metrics/evaluate"), {"benchmarks": ijb, **OPENCV}
    )
    paired = pair(cells, read_published())
    assert len(paired) == 8
    assert set(paired["table"]) == {"ijb"}
    assert not paired.duplicated(["backbone", "train_set"]).any()


CELL = {
    "paper": "p", "table": "t", "method": "m", "backbone": "b", "train_set": "s",
    "benchmark": "lfw", "metric": "accuracy", "setting": "112&112", "protocol": "tenfold",
    "value": 0.81, "source": "p",
}  # fmt: skip


def beside(*measured: tuple[float, float, float]) -> pd.DataFrame:
    """One published cell, 81 %, and measured ones of the same quantity: value, low, high."""
    ours = [
        {**CELL, "value": value, "low": low, "high": high, "count": 9, "method": ""}
        for value, low, high in measured
    ]
    return pair(pd.DataFrame(ours), pd.DataFrame([CELL]))


def test_the_first_of_two_rows_of_one_quantity_stands() -> None:
    (line,) = beside((0.80, 0.78, 0.82), (0.70, 0.68, 0.72)).itertuples()
    assert (line.published, line.measured, line.low, line.high) == (0.81, 0.80, 0.78, 0.82)
    assert line.difference == pytest.approx(-0.01)
    assert line.within


@pytest.mark.parametrize(
    ("low", "high", "within"),
    [
        (0.81, 0.84, True),
        (0.78, 0.81, True),
        (0.8101, 0.84, False),
        (0.78, 0.8099, False),
        (float("nan"), float("nan"), False),
    ],
)
def test_the_ends_of_the_interval_lie_in_it(low: float, high: float, within: bool) -> None:
    (line,) = beside((0.80, low, high)).itertuples()
    assert line.within == within
