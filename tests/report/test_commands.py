"""Every published accuracy has a command or a reason, and no command of the documents is stale."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from stages.check import validate as check
from stages.check.code import ROOT
from stages.core.schedule import Schedule
from stages.report.commands import NAME, Command, commands, document, hydra, read_commands
from stages.report.conditions import with_conditions
from stages.report.published import (
    THROUGHPUT,
    UNKNOWN,
    filled,
    read_published,
    read_sources,
)
from stages.report.results import FAMILIES

DOCUMENT = ROOT / "docs/papers.md"
PARAMS = "params.json"  # DVC changes it as it does params.yaml, in a hundredth of the time
LINE = re.compile(r"dvc exp run[^`\n]* -S [^`\n]*")
PUBLISHED = read_published()
MADE, WITHOUT = commands()


def in_documents() -> Iterator[tuple[str, str]]:
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line in LINE.findall(file.read_text()):
            yield file.name, line


STANDS_FOR = {"=FAMILY": "=ir", "dataset=NAME": "dataset=mine"}  # in lines for any choice
PUBLISHED_AS = {  # the networks of the imported models in these lines
    "NAME": "ir",
    "adaface": "ir",
    "coreset": "ir",
    "mobilefacenet": "mobilefacenet",
    "mobilefacenet_n4": "mobilefacenet",
    "tnet": "iresnet",
}
LINES = sorted(set(in_documents()))
BY_HAND = [each for each in LINES if each[1] not in {command.line() for command in MADE}]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """params.yaml with the training sets and benchmarks that docs/papers.md says to add."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"] |= read_commands()["train_sets"]
    params["datasets"]["mine"] = {"format": "folder", "root": "data/raw/mine", "align": "detect"}
    for entry in read_sources()["data"]:
        added = yaml.safe_load(entry.get("params", "{}"))
        params["test_sets"] += [name for name in added.get("test_sets", []) if name != "..."]
        for section in ("datasets", "benchmarks"):
            params[section] |= added.get(section, {})
    return params


@pytest.fixture
def project(whole, tmp_path: Path, monkeypatch) -> Path:
    """A folder with these parameters, in which check misses neither data sets nor models."""
    (tmp_path / PARAMS).write_text(json.dumps(whole))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "_require_root", lambda *_: None)
    monkeypatch.setattr(check, "_require_model", lambda key, name, remedy: PUBLISHED_AS[name])
    monkeypatch.setattr(check, "_network_of", lambda network: {"name": network})
    return tmp_path


def overrides(line: str) -> list[list[str]]:
    """What stands behind `-S` in a shell line; one list for each experiment that it queues."""
    words = shlex.split(line)
    given = [word for flag, word in pairwise(words) if flag == "-S"]
    return [sweep[PARAMS] for sweep in get_hydra_sweeps({PARAMS: given})]


def changed(project: Path, changes: list[str]) -> dict[str, Any]:
    """Parameters with these overrides, as DVC applies them."""
    file = project / PARAMS
    before = file.read_text()
    apply_overrides(file, changes)
    params = json.loads(file.read_text())
    file.write_text(before)
    return params


def test_every_published_cell_has_one_command_or_a_reason() -> None:
    with_command = [cell for command in MADE for cell in command.cells]
    assert len(with_command) == len(set(with_command))
    assert set(with_command) | set(WITHOUT) == set(PUBLISHED.index)
    assert not set(with_command) & set(WITHOUT)
    assert len({command.name for command in MADE}) == len(MADE)


def test_the_reasons_are_those_of_what_is_not_built() -> None:
    reasons = PUBLISHED.assign(reason=pd.Series(WITHOUT))
    empty = reasons["value"].isna()
    assert (reasons.loc[empty, "reason"] == "the paper gives no value").all()
    speed = reasons["protocol"] == THROUGHPUT
    assert reasons.loc[speed, "reason"].str.contains("no accuracy").all()
    rest = reasons[~empty & ~speed & reasons["reason"].notna()]
    about_ijbs = rest["benchmark"].str.startswith("ijbs")
    others = set(
        zip(rest.loc[~about_ijbs, "method"], rest.loc[~about_ijbs, "backbone"], strict=True)
    )
    assert {backbone for _, backbone in others} == {"r100"}
    methods = {method for method, backbone in others if backbone == "r100"}
    assert methods == {"broadface", "mv-softmax", "afrn", "url"}


@pytest.mark.parametrize("command", MADE, ids=lambda command: command.name)
def test_a_command_is_valid_and_measures_its_cells_by_their_protocol(
    project: Path, command: Command
) -> None:
    params = changed(project, *overrides(command.line()))
    check.validate(params)
    cells = PUBLISHED.loc[command.cells]
    for _, cell in cells[cells["protocol"] != UNKNOWN].iterrows():
        protocol = set()
        for benchmark in FAMILIES.get(cell["benchmark"], [cell["benchmark"]]):
            rows = [cell["setting"], *params["evaluate"]["descriptors"]]
            asked = pd.DataFrame({"benchmark": benchmark, "row": rows})
            found = with_conditions(asked, params)
            hit = (found["setting"] == cell["setting"]) & (found["protocol"] == cell["protocol"])
            protocol.add(bool(hit.any()))
        assert protocol == {True}, f"{cell['benchmark']} {cell['setting']}: {cell['protocol']}"


@pytest.mark.parametrize(
    ("file", "line"), LINES, ids=[f"{f}-{i}" for i, (f, _) in enumerate(LINES)]
)
def test_no_line_of_the_documents_is_stale(project: Path, file: str, line: str) -> None:
    for placeholder, choice in STANDS_FOR.items():
        line = line.replace(placeholder, choice)
    for changes in overrides(line):
        check.validate(changed(project, changes))


def test_the_commands_are_in_the_document() -> None:
    text = DOCUMENT.read_text()
    assert filled(text, NAME, document()) == text, f"run python -m {NAME}"
    assert {command.line() for command in MADE} <= {line for _, line in LINES}


def test_a_recipe_replaces_the_whole_section(project: Path) -> None:
    """Nothing of ORL's augmentation, warm-up or epochs is left in a published branch or head."""
    (line,) = (command.line() for command in MADE if command.name == "btnet_iresnet50_ms1mv3")
    params = changed(project, *overrides(line))
    as_published = {"antialias": False, "freeze": "reference"}
    assert params["distill"] == params["schedules"]["btnet_branch"] | as_published
    lines = [line for _, line in LINES if "+head.shared=" in line]
    recipes = {"scf": "scf", "scf_g": "scf", "pfe_g": "pfe", "coreset": "facecoresetnet"}
    seen = set()
    for line in lines:
        params = changed(project, *overrides(line))
        (head,) = params["heads"]
        seen.add(head)
        recipe = params["schedules"][recipes[head]]
        used = params["head"]["shared"] | params["head"][head]
        assert {key: used[key] for key in recipe} == recipe
        assert not (used.keys() - recipe.keys()) & Schedule.model_fields.keys()
    assert seen == set(recipes)


def test_values_are_written_as_overrides() -> None:
    value = {"a": [1, 0.5, None], "b": {"c": True}}
    assert hydra(value) == "{a:[1,0.5,null],b:{c:true}}"
