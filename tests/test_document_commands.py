"""The commands that README and docs/ give for experiments: none is stale, none is long."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from stages.check import validate as check
from stages.check.code import ROOT
from stages.core.params import read_params
from stages.core.recipe_file import read_data
from stages.core.recipes import compose

RECIPES = ROOT / "recipes"
PARAMS = "params.json"  # DVC changes it as it does params.yaml, in a hundredth of the time
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_CHANGES = re.compile(r"dvc exp run[^`\n]* -S [^`\n]*")
WITH_RECIPE = re.compile(r"python -m stages\.tools\.recipe ([a-z]\w*)((?: [\w.]+=\S+)*)")
LONGEST = 160  # characters of a line with `dvc exp run`, but for rows of tables
STANDS_FOR = {"=FAMILY": "=ir", "dataset=NAME": "dataset=mine"}  # in lines for any choice
NETWORKS = {  # of the imported models in these lines
    "NAME": "ir",
    "adaface": "ir",
    "coreset": "ir",
    "mobilefacenet_n4": "mobilefacenet",
    "tnet": "iresnet",
}


def found(pattern: re.Pattern[str]) -> Iterator[Any]:
    for file in DOCUMENTS:
        for match in pattern.finditer(file.read_text()):
            yield pytest.param(match, id=f"{file.name}-{match.start()}")


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """params.yaml with the data sets that lines without a recipe may name."""
    params = read_params(ROOT / "params.yaml")
    params["datasets"]["mine"] = {"format": "folder", "root": "data/raw/mine", "align": "detect"}
    for one in read_data(RECIPES).values():
        params["datasets"] |= one.datasets
        params["benchmarks"] |= one.benchmarks
        params["test_sets"] += [*one.datasets] if one.benchmarks else []
    return params


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which check misses neither data sets nor models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "_require_data", lambda top: None)
    monkeypatch.setattr(check, "_require_model", lambda key, name, remedy: NETWORKS[name])
    monkeypatch.setattr(check, "_network_of", lambda network: {"name": network})
    return tmp_path


def changed(params: dict[str, Any], overrides: list[str]) -> Iterator[dict[str, Any]]:
    """Parameters with these overrides, as DVC applies them; several where they queue several."""
    for sweep in get_hydra_sweeps({PARAMS: overrides}):
        Path(PARAMS).write_text(json.dumps(params))
        apply_overrides(Path(PARAMS), sweep[PARAMS])
        yield json.loads(Path(PARAMS).read_text())


@pytest.mark.parametrize("match", found(WITH_CHANGES))
def test_no_change_of_the_documents_is_stale(
    project: Path, whole: dict[str, Any], match: re.Match[str]
) -> None:
    line = match[0]
    for placeholder, choice in STANDS_FOR.items():
        line = line.replace(placeholder, choice)
    given = [word for flag, word in pairwise(shlex.split(line)) if flag == "-S"]
    for params in changed(whole, given):
        check.validate(params)


@pytest.mark.parametrize("match", found(WITH_RECIPE))
def test_no_recipe_of_the_documents_is_stale(project: Path, match: re.Match[str]) -> None:
    params = compose(match[1], read_params(ROOT / "params.yaml"), folder=RECIPES).params
    for one in changed(params, shlex.split(match[2])):
        check.validate(one)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_no_experiment_is_a_long_line(file: Path) -> None:
    commands = re.findall(r"(?:\w+=\S+ )*dvc exp run[^`\n]*", file.read_text())
    assert [one for one in commands if len(one) > LONGEST] == []
    assert [
        line
        for line in file.read_text().splitlines()
        if "dvc exp run" in line and len(line) > LONGEST and not line.startswith("|")
    ] == []
