"""What a library's file declares, read from its syntax tree without running it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from stages.core.errors import InputError

CONSTANTS = {
    "ORIGIN": "say what data are read, and where they are got",
    "GIVES": "name the lists that its Source has, and labels or landmarks if its records have them",
    "NEEDS": "name the lists of which one is needed; () where none is",
}


def constant(file: Path, name: str) -> Any:
    """A constant of a library's file, which is not run."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise InputError(file, f"no constant {name}", CONSTANTS[name])


def defined(file: Path) -> set[str]:
    """What a file defines or imports, read without running it."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names
