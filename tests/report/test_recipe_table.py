"""Every published accuracy has one recipe that measures it, or a reason."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from stages.check.code import ROOT
from stages.core.params import read_params
from stages.core.recipe_file import offered, read_recipe
from stages.core.recipes import compose
from stages.report.conditions import with_conditions
from stages.report.published import THROUGHPUT, UNKNOWN, filled, read_published
from stages.report.recipe_table import NAME, document, reasons, reproduced
from stages.report.results import FAMILIES
from stages.report.rows import numbers, read_rows

PUBLISHED = read_published()
WITHOUT = reasons(PUBLISHED)
REPRODUCED = reproduced()
DOCUMENT = ROOT / "docs/papers.md"


def test_every_published_cell_has_one_recipe_or_a_reason() -> None:
    measured = [cell for cells in REPRODUCED.values() for cell in cells]
    assert len(measured) == len(set(measured))
    assert set(measured) | set(WITHOUT) == set(PUBLISHED.index)
    assert not set(measured) & set(WITHOUT)


def test_every_recipe_of_published_rows_measures_a_cell() -> None:
    assert {name for name in offered() if read_recipe(name).reproduces} == set(REPRODUCED)
    assert all(REPRODUCED.values())


@pytest.mark.parametrize("name", REPRODUCED)
def test_a_recipe_measures_its_cells_by_their_protocol(name: str) -> None:
    params = compose(name, read_params()).params
    for _, cell in PUBLISHED.loc[REPRODUCED[name]].iterrows():
        for benchmark in FAMILIES.get(cell["benchmark"], [cell["benchmark"]]):
            assert benchmark in params["benchmarks"]
            if cell["protocol"] == UNKNOWN:
                continue
            rows = [cell["setting"], *params["evaluate"]["descriptors"]]
            found = with_conditions(pd.DataFrame({"benchmark": benchmark, "row": rows}), params)
            hit = (found["setting"] == cell["setting"]) & (found["protocol"] == cell["protocol"])
            assert hit.any(), f"{benchmark} {cell['setting']}: {cell['protocol']}"


@pytest.mark.parametrize("name", REPRODUCED)
def test_a_recipe_trains_on_the_set_of_its_rows(name: str) -> None:
    called = {"emore": "ms1mv2", "ms1m": "ms1mv2", "ms1mv3+survface": "survface_train"}
    sets = {called.get(one, one) for one in PUBLISHED.loc[REPRODUCED[name], "train_set"]}
    assert sets == {compose(name, read_params()).params["dataset"]}


def test_the_reasons_are_those_of_what_is_not_built() -> None:
    reason = PUBLISHED.assign(reason=pd.Series(WITHOUT))
    empty = reason["value"].isna()
    assert (reason.loc[empty, "reason"] == "the paper gives no value").all()
    speed = reason["protocol"] == THROUGHPUT
    assert reason.loc[speed, "reason"].str.contains("no accuracy").all()
    rest = reason[~empty & ~speed & reason["reason"].notna()]
    unread = rest["benchmark"].str.startswith("ijbs")
    assert set(rest.loc[~unread, "method"]) == {"broadface", "mv-softmax", "afrn", "url"}


def test_a_cell_is_selected_once_by_any_of_the_mappings() -> None:
    rows = [{"paper": ["btnet"], "table": ["a", "b"]}, {"paper": ["btnet"]}]
    found = numbers(read_rows(), rows, Path("mine"))
    assert found == list(PUBLISHED.index[PUBLISHED["paper"] == "btnet"])


def test_the_document_is_up_to_date() -> None:
    text = DOCUMENT.read_text()
    assert filled(text, NAME, document()) == text, f"run python -m {NAME}"
