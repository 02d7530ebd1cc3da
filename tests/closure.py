"""What a module of ours imports, directly and through others, read from the source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGES = ROOT / "stages"


def module_file(module: str) -> Path | None:
    """The file of a dotted module of ours; None for a package or somebody else's module."""
    file = ROOT / (module.replace(".", "/") + ".py")
    return file if file.is_file() else None


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names of our modules that `file` imports, within functions too."""
    found: set[str] = set()
    for node in _executed(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.startswith("stages.") and module_file(name))


def _executed(tree: ast.AST):
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _executed(node)


def closure(*modules: str) -> set[str]:
    """Files, relative to the root, that importing `modules` runs."""
    waiting, seen = list(modules), set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        file = module_file(module)
        assert file is not None, f"{module} is no module of ours"
        waiting.extend(imports(file))
    return {str(module_file(module).relative_to(ROOT)) for module in seen}


def loaded_libraries(files: set[str]) -> set[str]:
    """Libraries from which `files` choose a file by name: the first argument of load()."""
    libraries = set()
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    libraries.add(first.value)
    return libraries
