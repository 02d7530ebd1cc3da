"""The rules of the house: which way imports go, and that a stage depends on the code it runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.check.code import ROOT, closure, entry_modules, imports
from stages.core.params import STAGES
from tests.deps import PIPELINE, code_deps, definition, is_code_dep

LIBRARIES = {"core", "losses", "networks", "heads", "datasets", "descriptors", "protocols"}
TOOLS = (
    "tools"  # what a person runs that is not a stage; it imports everything, and nothing imports it
)


def folder(file: Path) -> str:
    return file.relative_to(STAGES).parts[0]


@pytest.mark.parametrize(
    "file", sorted(STAGES.rglob("*.py")), ids=lambda f: str(f.relative_to(STAGES))
)
def test_imports_go_one_way(file: Path) -> None:
    here = folder(file)
    for module in imports(file):
        there = module.split(".")[1]
        if there == here or here == TOOLS:
            continue
        allowed = {"core"} if here in LIBRARIES else LIBRARIES
        assert there in (allowed if here != "core" else set()), f"{file.name} imports {module}"


def test_no_import_is_relative() -> None:
    """The lists of code would miss it."""
    for file in STAGES.rglob("*.py"):
        tree = ast.parse(file.read_text())
        found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not any(node.level for node in found), file


def test_a_folder_is_a_stage_or_a_library() -> None:
    folders = {path.name for path in STAGES.iterdir() if path.is_dir() and path.name[0] != "_"}
    folders -= {TOOLS}
    stages = {name for name in folders if (STAGES / name / "__main__.py").is_file()}
    assert folders - stages == LIBRARIES
    assert {name.split("_")[0] for name in PIPELINE} == stages


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_depends_on_exactly_the_code_it_runs(name: str) -> None:
    """Through its list, which check writes."""
    stage = definition(PIPELINE[name])
    package, _, module = name.partition("_")
    assert f"python -m stages.{package} {module}".strip() in stage["cmd"]
    code = {dep for dep in stage["deps"] if is_code_dep(dep)}
    needed = code_deps(name)
    assert sorted(needed - code) == [], "missing from the deps in dvc.yaml"
    assert sorted(code - needed) == [], "not run by the stage"


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_depends_on_the_settings_of_the_descriptors_it_runs(name: str) -> None:
    stage = definition(PIPELINE[name])
    run = {Path(file) for file in closure(*entry_modules(name))}
    descriptors = {f.stem for f in run if f.parent.name == "descriptors" and f.stem[0] != "_"}
    if "params.yaml" in stage["deps"]:  # all settings
        return
    tracked = {param for param in stage["params"] if param.split(".")[0] == "descriptors"}
    if name == "evaluate":  # which runs again anyway when one of the others changes its features
        assert tracked == {"descriptors"}
        return
    assert tracked == {f"descriptors.{name}" for name in descriptors}


def test_the_lock_file_has_no_stage_that_is_gone() -> None:
    """DVC keeps such entries, and rewrites them after every stage."""
    locked = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"]
    assert {name.partition("@")[0] for name in locked} <= PIPELINE.keys()
