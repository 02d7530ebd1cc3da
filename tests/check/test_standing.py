"""The sentence about the recipe; the same with git, without it, and after other commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.check.departures import standing
from stages.core.errors import InputError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/one.yaml").write_text("note: a test\nparams: {loss: magface, train: {lr: 1}}\n")


def test_the_keys_of_the_recipe_that_differ_are_named() -> None:
    params = {"recipe": "one", "loss": "magface", "seed": 3, "train": {"lr": 1, "steps": 2}}
    assert standing(params) == "Recipe one; the keys that it sets are as in its file."
    params |= {"loss": "cosface", "train": {"lr": 2}}
    said = standing(params)
    assert said == (
        "Recipe one; params.yaml departs from it in loss: magface -> cosface; train.lr: 1 -> 2."
    )


def test_without_a_recipe_there_is_no_sentence() -> None:
    assert standing({"recipe": None}) is None
    assert standing({"loss": "x"}) is None
    with pytest.raises(InputError, match="'two' is none of one"):
        standing({"recipe": "two"})
