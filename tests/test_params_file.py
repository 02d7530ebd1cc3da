"""params.yaml has the form that `dvc exp run -S` writes: one changed value is one changed line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import reduce
from importlib.metadata import version
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from stages.check.code import ROOT
from stages.check.schema import KEY
from stages.core.params import PARAMS_FILE, read_params

COMMITTED = (ROOT / PARAMS_FILE).read_text()
GROWING = ("datasets", "benchmarks", "losses", "schedules", "features", "head")  # users add to them


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / PARAMS_FILE
    path.write_text(COMMITTED)
    return path


def changes(before: str, after: str) -> tuple[list[str], list[str]]:
    """Lines of `before` that are gone, and new lines of `after`."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return tuple([line[2:] for line in lines if line[:2] == sign] for sign in ("- ", "+ "))


def override(file: Path, *overrides: str) -> tuple[list[str], list[str]]:
    """As `dvc exp run -S ..` does before it runs anything; the lines that differ then."""
    before = file.read_text()
    apply_overrides(file, list(overrides))
    return changes(before, file.read_text())


def comments(lines: list[str]) -> list[str]:
    return [line[line.index("#") :] for line in lines if "#" in line]


def test_an_override_that_changes_no_value_changes_no_byte(file) -> None:
    apply_overrides(file, ["seed=0"])
    assert file.read_text() == COMMITTED


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("seed", "7", "12345678"),
        ("threads", "1", "16"),
        ("schedules.orl.lr", "0.025", "1.5e-3"),
        ("schedules.orl.weight_decay", "1e-5", "1e-2"),
        ("loss", "magface", "curricularface"),
        ("backbone.name", "mobilefacenet", "ir"),
        ("instructions", "native", "avx2"),
        ("train.compile", "true", "false"),
        ("train.initial", "published", "null"),
        ("losses.arcface.margin", "0.123456789", "0.5"),
        ("losses.magface.easy", "false", "true"),
        ("losses.adaface", "{scale: 48}", "{scale: 64, margin: 0.4}"),
        ("report.headline.pairs.metrics", "[auc]", "[eer,auc]"),
    ],
)
def test_one_value_is_one_line_also_the_second_time(file, key, first, second) -> None:
    for value in (first, second):
        old, new = override(file, f"{key}={value}")
        assert (len(old), len(new)) == (1, 1)
        assert comments(old) == comments(new)
        assert old[0].split(":")[0] == new[0].split(":")[0]


def test_a_list_has_one_line_for_each_item(file) -> None:
    assert override(file, "heads=[scf]") == (["- coreset"], [])
    assert override(file, "heads=[scf,pfe_g]") == ([], ["- pfe_g"])
    assert override(file, "resolutions=[28,7]") == (["- 14"], [])
    old, new = override(file, "resolutions=[]")
    assert comments(old) == comments(new)


def lists(values: Any, key: str = "") -> Iterator[str]:
    """Dotted keys of all lists."""
    for name, value in values.items():
        if isinstance(value, list):
            yield f"{key}{name}"
        elif isinstance(value, dict):
            yield from lists(value, f"{key}{name}.")


MAY_BE_EMPTY = [key for key in lists(read_params(ROOT / PARAMS_FILE)) if key != "test_sets"]


@pytest.mark.parametrize(
    "emptied", [*([key] for key in MAY_BE_EMPTY), MAY_BE_EMPTY], ids=lambda keys: keys[-1]
)
def test_an_emptied_list_changes_nothing_else(file, emptied) -> None:
    """Below a list that has a comment and is emptied, ruamel loses the first newline that no
    comment writes, up to the next list. DVC could not read such a file."""
    wanted = read_params(file)
    for key in emptied:
        *path, last = key.split(".")
        reduce(getitem, path, wanted)[last] = []
    new = {"protocol": "pairs", "sides": {"first": 28}}
    wanted["benchmarks"]["new"] = wanted["datasets"]["new"] = new
    entry = "={protocol: pairs, sides: {first: 28}}"
    given = [f"+benchmarks.new{entry}", f"+datasets.new{entry}", *(f"{key}=[]" for key in emptied)]
    apply_overrides(file, given)
    assert read_params(file) == wanted
    assert comments(file.read_text().splitlines()) == comments(COMMITTED.splitlines())
    apply_overrides(file, ["seed=1"])
    assert read_params(file) == wanted | {"seed": 1}


@pytest.mark.parametrize("section", GROWING)
def test_a_new_entry_is_added_below_its_section(file, section) -> None:
    old, new = override(file, f"+{section}.new={{protocol: pairs, sides: [28, 14]}}")
    text = file.read_text()
    assert old in ([], [line for line in COMMITTED.splitlines() if line.startswith(f"{section}:")])
    assert comments(text.splitlines()) == comments(COMMITTED.splitlines())
    own = text[text.index(f"\n{section}:") + 1 :].splitlines()[1:]
    end = next((n for n, line in enumerate(own) if line[:1] != " "), len(own))
    assert own[:end][-5:] == new[-5:]
    assert new[-5:] == ["  new:", "    protocol: pairs", "    sides:", "    - 28", "    - 14"]


@pytest.mark.parametrize("section", GROWING)
def test_removing_an_entry_removes_its_own_lines_alone(file, section) -> None:
    entries = list(read_params(ROOT / PARAMS_FILE)[section])
    for name in {*entries[:1], *entries[-1:]}:
        file.write_text(COMMITTED)
        old, new = override(file, f"~{section}.{name}")
        assert new == (["{}"] if len(entries) == 1 else [])
        assert old[0].startswith(f"  {name}:")
        assert all(line.startswith("   ") for line in old[1:])


def test_a_new_setting_of_a_stage_is_added_below_the_others(file) -> None:
    assert override(file, "+distill.optimiser_steps=3") == ([], ["  optimiser_steps: 3"])
    assert file.read_text().split("\nhead:")[0].endswith("  optimiser_steps: 3")


def test_the_choices_come_first() -> None:
    keys = list(read_params(ROOT / PARAMS_FILE))
    assert keys[0] == KEY
    assert keys.index("instructions") < min(map(keys.index, [*GROWING, "descriptors", "fetch"]))
    assert "The lines to edit come\n# first" in COMMITTED.split(f"\n{KEY}:")[0]


@pytest.mark.parametrize("package", ["dvc", "hydra-core", "omegaconf", "ruamel.yaml"])
def test_what_decides_these_bytes_is_pinned(package) -> None:
    pins = [line.split()[0] for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert f"{package}=={version(package)}" in pins
