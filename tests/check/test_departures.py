"""What check says where params.yaml departs from its recipe; and that git may be absent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from stages.check.departures import report_departures
from stages.core.errors import InputError

COMMITTED = {"recipe": None, "loss": "arcface", "seed": 0, "train": {"compile": False}}
RECIPE = {"note": "a test", "params": {"loss": "magface"}}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/one.yaml").write_text(yaml.safe_dump(RECIPE))


def commit(text: str) -> None:
    Path("params.yaml").write_text(text)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], check=True)


def test_first_what_the_recipe_decides_then_what_else_is_not_as_at_head(capsys) -> None:
    commit(yaml.safe_dump(COMMITTED))
    report_departures(COMMITTED | {"recipe": "one", "loss": "cosface", "seed": 1})
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "params.yaml departs from recipe one: loss: magface -> cosface",
        "params.yaml, beside recipe one: seed: 0 -> 1",
    ]
    assert told.out == ""


@pytest.mark.parametrize("head", [None, "- not\n- a mapping\n", "a: 1\na: 2\n"])
def test_without_a_readable_head_the_recipe_alone_is_compared(head: str | None, capsys) -> None:
    if head is not None:
        commit(head)
    report_departures(COMMITTED | {"recipe": "one", "loss": "cosface", "seed": 1})
    assert [*capsys.readouterr().err.splitlines()] == [
        "params.yaml departs from recipe one: loss: magface -> cosface"
    ]


def test_nothing_is_said_without_departures_or_without_a_recipe(capsys) -> None:
    commit(yaml.safe_dump(COMMITTED))
    report_departures(COMMITTED | {"recipe": "one", "loss": "magface"})
    report_departures(COMMITTED | {"seed": 1})
    assert capsys.readouterr().err == ""


def test_git_need_not_be_installed(capsys, monkeypatch) -> None:
    commit(yaml.safe_dump(COMMITTED))
    monkeypatch.setenv("PATH", "")
    report_departures(COMMITTED | {"recipe": "one", "loss": "cosface", "seed": 1})
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_recipe_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"recipe: 'two' is none of one"):
        report_departures(COMMITTED | {"recipe": "two"})
