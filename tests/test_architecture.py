"""The rules of the house: which way imports go, and that a stage depends on the code it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.closure import ROOT, STAGES, closure, imports, loaded_libraries

LIBRARIES = {"core", "losses", "networks", "heads", "datasets", "descriptors", "protocols"}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PLACEHOLDER = re.compile(r"stages/(\w+)/\$\{[\w.]+\}\.py")


def folder(file: Path) -> str:
    return file.relative_to(STAGES).parts[0]


@pytest.mark.parametrize(
    "file", sorted(STAGES.rglob("*.py")), ids=lambda f: str(f.relative_to(STAGES))
)
def test_imports_go_one_way(file: Path) -> None:
    here = folder(file)
    for module in imports(file):
        there = module.split(".")[1]
        if there == here:
            continue
        allowed = {"core"} if here in LIBRARIES else LIBRARIES
        assert there in (allowed if here != "core" else set()), f"{file.name} imports {module}"


def test_a_folder_is_a_stage_or_a_library() -> None:
    folders = {path.name for path in STAGES.iterdir() if path.is_dir() and path.name[0] != "_"}
    stages = {name for name in folders if (STAGES / name / "__main__.py").is_file()}
    assert folders - stages == LIBRARIES
    assert {name.split("_")[0] for name in PIPELINE} == stages


def definition(stage: dict) -> dict:
    return stage.get("do", stage)


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_depends_on_exactly_the_code_it_runs(name: str) -> None:
    """Every file of the import closure is a dep, and no other file of code is.

    A dep like stages/losses/${loss}.py stands for each file of that library in turn.
    """
    stage = definition(PIPELINE[name])
    code = {dep for dep in stage["deps"] if dep.startswith("stages/") and dep.endswith(".py")}
    chosen = {dep: PLACEHOLDER.fullmatch(dep)[1] for dep in code if "${" in dep}
    fixed = code - chosen.keys()
    entries = entry_modules(stage["cmd"])
    needed = closure(*entries)
    assert set(chosen.values()) == loaded_libraries(needed) | looked_up(name)
    for library in chosen.values():
        files = [f for f in (STAGES / library).glob("*.py") if not f.stem.startswith("_")]
        for file in files:
            own = closure(f"stages.{library}.{file.stem}") - {str(file.relative_to(ROOT))}
            needed |= own
    assert sorted(needed - fixed) == [], "missing from the deps"
    assert sorted(fixed - needed) == [], "not run by the stage"


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_depends_on_the_settings_of_the_descriptors_it_runs(name: str) -> None:
    stage = definition(PIPELINE[name])
    run = {Path(file) for file in closure(*entry_modules(stage["cmd"]))}
    descriptors = {f.stem for f in run if f.parent.name == "descriptors" and f.stem[0] != "_"}
    if "params.yaml" in stage["deps"]:  # all settings
        return
    tracked = {param for param in stage["params"] if param.startswith("descriptors.")}
    assert tracked == {f"descriptors.{name}" for name in descriptors}


def entry_modules(command: str) -> list[str]:
    """`python -m stages.extract head_${..} set` runs stages.extract and stages/extract/head."""
    words = command.split()
    package = words[words.index("-m") + 1]
    entries = [f"{package}.__main__"]
    if package == "stages.extract":
        entries.append(f"{package}.{words[words.index('-m') + 2].partition('_')[0]}")
    return entries


def looked_up(name: str) -> set[str]:
    """Libraries whose file is named by an entry of datasets or benchmarks."""
    return {"unpack": {"datasets"}, "evaluate": {"protocols"}}.get(name, set())
