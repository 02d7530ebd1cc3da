"""The lists of code that check writes: exact, and what decides which stages are stale."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stages.check import code
from stages.check.code import LISTED, LISTS, PACKAGE, ROOT, code_of, entry_modules, imports, lists
from tests.deps import PIPELINE

LOADED = """
import importlib, json, os, sys
import cv2, pandas, torch  # once for all
for stage, modules in json.loads(sys.argv[1]).items():
    if not os.fork():
        for name in modules:
            importlib.import_module(name)
        ours = [m for n, m in sys.modules.items() if n.startswith("stages") and m.__file__]
        print(json.dumps([stage, sorted(m.__file__ for m in ours)]), flush=True)
        os._exit(0)
    assert not os.wait()[1], stage
"""


def test_every_stage_but_check_has_a_list() -> None:
    assert set(LISTED) == set(PIPELINE) - {"check"}


def test_what_python_loads_is_listed() -> None:
    """The interpreter, asked; it loads less, since some imports wait within functions."""
    asked = json.dumps({name: entry_modules(name) for name in PIPELINE})
    command = [sys.executable, "-c", LOADED, asked]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = dict(map(json.loads, run.stdout.splitlines()))
    assert loaded.keys() == PIPELINE.keys()
    for name, files in loaded.items():
        names = {str(Path(file).relative_to(ROOT)) for file in files}
        packages = {file for file in names if file.endswith("/__init__.py")} - {PACKAGE}
        assert len(names - packages) > 3, name
        assert names - packages - code_of(name) == set(), name


def test_packages_hold_no_code_but_the_one_that_is_listed() -> None:
    for file in (ROOT / "stages").rglob("__init__.py"):
        held = ast.parse(file.read_text()).body
        if file == ROOT / PACKAGE:
            assert not imports(file)  # which nobody would follow
        else:
            assert all(isinstance(one, ast.Expr) for one in held), file


def test_a_list_names_each_file_of_a_stage_once() -> None:
    made = lists([])
    for stage in LISTED:
        names = [line.split("  ")[1] for line in made[stage].splitlines()]
        assert names == sorted(code_of(stage))
    assert made["losses/arcface"].endswith("  stages/losses/arcface.py\n")


def test_an_edit_changes_the_lists_of_the_stages_that_run_the_file(tmp_path: Path) -> None:
    """Through the command, in a copy. Only words that the report prints are an edit."""
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    before = written(tmp_path)
    every_stage = set(LISTED)
    for file, edit, hit in (
        ("core/fit.py", with_code, {"train", "distill", "head"}),
        ("core/fit.py", with_comment, set()),
        ("core/fit.py", with_docstring, set()),
        ("distill/student.py", with_code, {"distill"}),
        ("core/files.py", with_code, every_stage),
        ("core/files.py", with_comment, set()),
        ("losses/magface.py", with_code, {"losses/magface"}),
        ("losses/magface.py", with_comment, set()),
        ("heads/scf.py", with_code, {"heads/scf", "extract_heads"}),
        ("heads/scf_g.py", with_code, {"heads/scf_g"}),  # which params.yaml does not name
        ("protocols/pairs.py", with_code, {"protocols/pairs", "report"}),
        ("protocols/pairs.py", with_docstring, {"report"}),
        ("report/published.csv", with_code, {"report"}),
    ):
        edited = tmp_path / "stages" / file
        text = edited.read_text()
        edited.write_text(edit(text))
        assert edited.read_text() != text
        after = written(tmp_path)
        assert before.keys() == after.keys()
        assert {name for name in before if before[name] != after[name]} == hit, (file, edit)
        edited.write_text(text)
    assert written(tmp_path) == before


def with_code(text: str) -> str:
    return text + "\nedited = True\n"


def with_comment(text: str) -> str:
    return text + "\n# edited\n"


def with_docstring(text: str) -> str:
    return text.replace('"""', '"""Edited. ', 1)


def written(folder: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"}
    command = [sys.executable, "-m", "stages.check"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    root = folder / LISTS
    files = [file for file in root.rglob("*") if file.is_file()]
    return {str(file.relative_to(root)): file.read_text() for file in files}


def test_what_only_a_type_checker_imports_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(
        "if TYPE_CHECKING:\n    import stages.core.fit\n"
        "def late():\n    try:\n        from stages.core import files\n    finally:\n        pass\n"
    )
    assert code.imports(file) == {"stages.core.files"}
