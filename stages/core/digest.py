"""A digest of a source file that its comments and docstrings do not enter.

They are cut out of the text by their position, so that the digest is the same on every version of
Python. The strings and the layout of the code enter it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

# Strings stand here because `#` begins no comment, and a line break ends no line, within one.
STRING_OR_COMMENT = re.compile(
    rb'[rRuU]?(?:"""(?:\\.|.)*?"""'
    rb"|'''(?:\\.|.)*?'''"
    rb'|"(?:\\.|[^"\\])*"'
    rb"|'(?:\\.|[^'\\])*')"
    rb"|#[^\n]*",
    re.DOTALL,
)
LINE_BREAK_IN_STRING = b"\0"  # which no source file has
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def parsed(file: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(file.read_bytes(), str(file))


def digest(file: Path, with_docstrings: bool = False, tree: ast.Module | None = None) -> str:
    """MD5, in hexadecimal, of what a file does: of all its bytes unless it is Python.

    Args:
        file: any file.
        with_docstrings: whether the docstrings count, since the code reads them.
        tree: what `parsed` gives, where it is at hand.
    """
    content = file.read_bytes()
    if file.suffix == ".py":
        content = code(content, [] if with_docstrings else list(_docstrings(tree or parsed(file))))
    return md5(content).hexdigest()


def code(source: bytes, docstrings: list[tuple[int, int]]) -> bytes:
    """The lines of a source text that hold code, without comments and the strings at `docstrings`.

    Args:
        docstrings: line (from 1) and column (from 0, in bytes) at which each begins.
    """
    begins = [0]
    for line in source.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    cut = {begins[line - 1] + column for line, column in docstrings}

    def kept(found: re.Match[bytes]) -> bytes:
        if found[0].startswith(b"#") or found.start() in cut:
            return b""
        return found[0].replace(b"\n", LINE_BREAK_IN_STRING)

    lines = STRING_OR_COMMENT.sub(kept, source).split(b"\n")
    return b"\n".join(line.rstrip() for line in lines if line.strip())


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            string = node.body[0].value
            yield string.lineno, string.col_offset
