"""CONTRIBUTING.md, followed to the letter in a scratch copy, up to the training."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.check.code import ROOT

SECTION = re.compile(r"^## (Add [^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PARAMS = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (.+)$", re.MULTILINE)
CHOICE = re.compile(r"-S ('?)([\w.]+)=([^\s']+)\1")
SECTIONS = dict(SECTION.findall((ROOT / "CONTRIBUTING.md").read_text()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of this project, without results."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/golden/", "docs/images/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def merge(params: dict, added: dict) -> None:
    for section, entries in added.items():
        params[section] |= entries


def test_the_document_has_the_four_ways_to_add() -> None:
    assert list(SECTIONS) == ["Add a loss", "Add a network", "Add a protocol", "Add a data set"]


@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_document_adds_passes_its_tests(copy: Path, section: str) -> None:
    text = SECTIONS[section]
    files = dict(FILE.findall(text))
    code, test = files
    for name, content in files.items():
        assert not (copy / name).exists()
        (copy / name).write_text(content)
    params = yaml.safe_load((copy / "params.yaml").read_text())
    for added in PARAMS.findall(text):
        merge(params, yaml.safe_load(added))
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    commands = COMMAND.findall(PARAMS.sub("", FILE.sub("", text)))
    assert test in commands[0]
    run(copy, sys.executable, "-m", *shlex.split(commands[0])[2:])
    # check, with the choices that the line for training makes
    for _, key, value in CHOICE.findall(commands[1]):
        *path, last = key.split(".")
        part = params
        for step in path:
            part = part[step]
        part[last] = yaml.safe_load(value)
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for entry in params["datasets"].values():
        if not entry["root"].startswith("data/raw/orl"):
            (copy / entry["root"]).parent.mkdir(parents=True)
            (copy / entry["root"]).touch()
    run(copy, sys.executable, "-m", "stages.check")
    assert code.split("/")[-1].removesuffix(".py") in (copy / "params.yaml").read_text()
