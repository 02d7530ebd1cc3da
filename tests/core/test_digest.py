"""Digests of code: comments and docstrings do not enter them, all else does, on every Python."""

from __future__ import annotations

import ast
import io
import json
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Container
from pathlib import Path

import pytest

from stages.check.code import ROOT
from stages.core.digest import code, digest

PYTHONS = [f"python3.{minor}" for minor in (11, 12, 13)]
DIGESTS = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("digest", "stages/core/digest.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
files = [Path(name) for name in json.load(sys.stdin)]
print(json.dumps([module.digest(file) for file in files]))
"""
CODE = '''"""Module."""

import re  # a comment


class Some:
    r"""Raw # docstring."""

    text = "# no comment"


def nested(a, b):
    """Docstring
    of two lines.
    """
    # a comment
    def inner():
        """Inner."""
        return f"{a:#x} {b!r}"  # another

    text = """a

    # b
    """
    return inner, text, '#', "\\"#", b"#"
'''
STRIPPED = '''import re
class Some:
    text = "# no comment"
def nested(a, b):
    def inner():
        return f"{a:#x} {b!r}"
    text = """a

    # b
    """
    return inner, text, '#', "\\"#", b"#"
'''


def of(tmp_path: Path, text: str, **options: bool) -> str:
    file = tmp_path / f"{abs(hash(text))}.py"
    file.write_text(text)
    return digest(file, **options)


def test_it_is_that_of_the_lines_of_code(tmp_path: Path) -> None:
    assert of(tmp_path, CODE) == of(tmp_path, STRIPPED)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"# no comment"', '"# a comment"'),
        ("a\n\n", "a\n"),  # an empty line within a string
        ("    # b\n", "    # c\n"),  # what looks like a comment within one
        ('"\\"#"', '"\\"# "'),
        ("import re", "import os"),
        ("        return f", "    return f"),
    ],
)
def test_a_change_of_code_changes_it(tmp_path: Path, before: str, after: str) -> None:
    assert CODE.count(before) == 1
    assert of(tmp_path, CODE.replace(before, after)) != of(tmp_path, CODE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  # another", ""),
        ("# a comment\n    def", "# it's\n    # two lines of comment\n\n    def"),
        ('"""Inner."""', '"""Another."""'),
        ('r"""Raw # docstring."""', "'plain'"),
        ('"""Module."""\n', '"""Module:\n\nmuch more.\n"""\n'),
    ],
)
def test_a_change_of_words_does_not(tmp_path: Path, before: str, after: str) -> None:
    assert CODE.count(before) == 1
    assert of(tmp_path, CODE.replace(before, after)) == of(tmp_path, CODE)


def test_docstrings_that_are_read_count(tmp_path: Path) -> None:
    other = CODE.replace("Module.", "Another module.")
    assert of(tmp_path, CODE, with_docstrings=True) != of(tmp_path, other, with_docstrings=True)
    commented = CODE.replace("# a comment", "# another")
    assert of(tmp_path, CODE, with_docstrings=True) == of(tmp_path, commented, with_docstrings=True)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_gives_the_same(tmp_path: Path, python: str) -> None:
    """Constants for the one that runs this; where another is installed, its digests of our code."""
    assert of(tmp_path, CODE) == "414bfcc90d500ad4c0c0c1677a7b12f7"
    other = python if _runs(python) else sys.executable
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "stages").rglob("*.py"))
    run = subprocess.run(
        [other, "-c", DIGESTS], cwd=ROOT, input=json.dumps(files), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [digest(ROOT / name) for name in files]


def _runs(python: str) -> bool:
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def test_tokens_tell_the_same(tmp_path: Path) -> None:
    """A second derivation: the tokens of all our code, without those of comments and docstrings."""
    for file in (ROOT / "stages").rglob("*.py"):
        text = file.read_text()
        tree = ast.parse(text)
        words = {
            (node.body[0].lineno, node.body[0].col_offset)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node) is not None
        }
        bare = code(text.encode(), list(words)).replace(b"\0", b"\n").decode()
        assert tokens(bare) == tokens(text, words), file


def tokens(text: str, left_out: Container[tuple[int, int]] = ()) -> list[str]:
    read = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        token.string
        for token in read
        if token.string.strip() and token.type != tokenize.COMMENT and token.start not in left_out
    ]
