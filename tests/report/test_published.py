"""The published table: its facts, its words, and the document written from it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stages.core.errors import InputError
from stages.report.published import (
    BEGIN,
    COLUMNS,
    END,
    KEY,
    NAME,
    TABLE,
    THROUGHPUT,
    UNKNOWN,
    document,
    filled,
    needs,
    read_published,
    read_sources,
)

DOCUMENT = Path(__file__).parents[2] / "docs/papers.md"


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return read_published()


def cell(published: pd.DataFrame, **key: str) -> float:
    found = published
    for column, value in key.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found["value"].iloc[0]


def test_the_table_holds_the_papers_numbers_as_fractions(published: pd.DataFrame) -> None:
    assert len(published) == 500
    a = {"paper": "btnet", "table": "a", "benchmark": "ijbc-1to1", "setting": "112&7"}
    assert cell(published, **a) == pytest.approx(0.8817)
    hq = {"table": "hq", "backbone": "ir101", "train_set": "webface4m", "benchmark": "lfw"}
    assert cell(published, **hq) == pytest.approx(0.9980)
    speed = {"method": "DP fp32", "backbone": "iresnet50", "metric": "images/s"}
    assert cell(published, **speed) == pytest.approx(1099.41)


def test_a_cell_that_the_paper_calls_not_available_stays_empty(published: pd.DataFrame) -> None:
    empty = published[published["value"].isna()]
    assert len(empty) == 16
    assert set(empty["method"]) == {"cosface+pfe-v", "arcface+pfe-v"}


def test_every_cell_is_told_apart_by_its_key(published: pd.DataFrame) -> None:
    assert not published.duplicated(KEY).any()


def test_accuracies_are_fractions_and_speed_is_none(published: pd.DataFrame) -> None:
    speed = published["protocol"] == THROUGHPUT
    assert set(published.loc[speed, "table"]) == {"throughput"}
    assert published.loc[~speed, "value"].dropna().between(0, 1).all()


def test_the_mean_of_five_packs_is_the_mean_of_its_members(published: pd.DataFrame) -> None:
    hq = published[(published["table"] == "hq")]
    packs = hq[hq["benchmark"] != "hq5-mean"].groupby(["backbone", "train_set"])["value"].mean()
    means = hq[hq["benchmark"] == "hq5-mean"].set_index(["backbone", "train_set"])["value"]
    assert (packs - means).abs().max() < 1e-4


def test_every_name_in_the_table_is_explained(published: pd.DataFrame) -> None:
    sources = read_sources()
    assert set(published["paper"]) == set(sources["papers"])
    assert {f"{p}/{t}" for p, t in zip(published["paper"], published["table"], strict=True)} == set(
        sources["tables"]
    )
    words = {word for protocol in published["protocol"] for word in protocol.split("+")}
    assert words <= set(sources["protocols"])
    assert set(published["protocol"]) == set(sources["settings"])
    listed = [name for source in sources["data"] for name in source["benchmarks"]]
    assert sorted(listed) == sorted(set(published["benchmark"]))


def test_a_measured_benchmark_needs_nothing_more(published: pd.DataFrame) -> None:
    entries = needs(published, {"lfw", "survface"})
    names = [name for entry in entries for name in entry["benchmarks"]]
    assert "lfw" not in names
    assert "cfp_fp" in names
    assert "survface" not in names
    assert sum(p["cells"] for entry in needs(published, set()) for p in entry["protocols"]) == 484


def test_the_document_is_up_to_date() -> None:
    text = DOCUMENT.read_text()
    assert filled(text, NAME, document()) == text, f"run python -m {NAME}"


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(InputError, match="marks"):
        filled(f"{BEGIN.format('other')} old {END}", NAME, "new")
    text = f"a {BEGIN.format(NAME)} old {END} b"
    assert filled(text, NAME, "new") == f"a {BEGIN.format(NAME)}\n\nnew\n\n{END} b"


def test_a_wrong_table_names_its_line(tmp_path: Path) -> None:
    lines = TABLE.read_text().splitlines()
    (tmp_path / "short.csv").write_text("paper,table\nbtnet,a\n")
    with pytest.raises(InputError, match="no column method"):
        read_published(tmp_path / "short.csv")
    lines[2] = lines[2].replace("88.17", "88,17".replace(",", ";"))
    (tmp_path / "wrong.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="line 3: value is no number"):
        read_published(tmp_path / "wrong.csv")


def test_unknown_protocols_are_called_so(published: pd.DataFrame) -> None:
    """Nobody says how SCF, MultiFace, the quoted rows and the re-evaluations were measured."""
    tables = published[published["protocol"] == UNKNOWN].groupby(["paper", "table"]).size()
    assert {("scf", "ijb"), ("multiface", "irse100"), ("adaface", "cvlface-reeval")} <= set(
        tables.index
    )
    assert ("adaface", "hq") not in tables.index
    assert list(read_published().columns) == COLUMNS
