"""The code that each stage of dvc.yaml runs, read from the source without running it.

One stage, check, depends on the folder `stages`. Every other stage depends on its own list of
digests, which check writes, and on the digest of each file that params.yaml chooses. That is as
exact as a list of all files at every stage. DVC's work grows with the number of dependencies, and
it has far fewer of them to look at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from stages.core import digest
from stages.core.params import STAGES, choices

ROOT = STAGES.parent
LISTS = Path("data/check")
PACKAGE = "stages/__init__.py"  # runs before all else; those of the packages in it do nothing
LISTED = (  # all stages of dvc.yaml but check; what follows `_` is a module of the stage
    "fetch",
    "unpack",
    "align",
    "train",
    "distill",
    "head",
    "extract",
    "extract_heads",
    "extract_external",
    "evaluate",
    "report",
)
CHOSEN = {  # library: what in dvc.yaml names the file of it that a stage loads
    "losses": "${loss}",
    "networks": "${backbone.name}",
    "heads": "${item.head}",
    "datasets": "${item.format}",
    "protocols": "${item.protocol}",
}
ALL_HEADS = "extract_heads"  # runs every head of params.yaml, which no dep of dvc.yaml can name
OWN = {"extract": "images"}  # module of a stage that has none in its name
DOCSTRINGS_READ = {"report": "stages/protocols/"}  # stage: where the docstrings are that it prints
NAMED_BY_ENTRY = {"unpack": {"datasets"}, "evaluate": {"protocols"}}


def lists(heads: Iterable[str]) -> dict[str, str]:
    """Text of each file below LISTS, by its name there: a list for each stage of LISTED, and one
    for each file that params.yaml can choose.

    A line is the MD5 (`stages/core/digest.py`) and the name of a file.

    Args:
        heads: those of params.yaml.
    """
    chosen = {ALL_HEADS: {f"stages/heads/{head}.py" for head in heads}}
    found = {stage: _list_of(stage, chosen.get(stage, set())) for stage in LISTED}
    for library in CHOSEN:
        for name in choices(library):
            found[f"{library}/{name}"] = _line(f"stages/{library}/{name}.py")
    return found


def _list_of(stage: str, chosen: set[str]) -> str:
    read = DOCSTRINGS_READ.get(stage)
    return "".join(
        _line(file, with_docstrings=bool(read and file.startswith(read)))
        for file in sorted(code_of(stage) | chosen)
    )


@cache
def _line(file: str, with_docstrings: bool = False) -> str:
    path = ROOT / file
    tree = parsed(path) if path.suffix == ".py" else None
    return f"{digest.digest(path, with_docstrings, tree)}  {file}\n"


def code_of(stage: str) -> set[str]:
    """Files that a stage runs whatever params.yaml chooses: its import closure, and that of every
    file it might be told to load, but not these files themselves (`chosen_of`). What else lies in
    the stage's folder, such as a table or a template, is read by it."""
    needed = closure(*entry_modules(stage))
    for library in _libraries(stage, needed):
        for file in (STAGES / library).glob("[!_]*.py"):
            loaded = closure(f"stages.{library}.{file.stem}")
            needed |= loaded - {str(file.relative_to(ROOT))}
    beside = (STAGES / stage.partition("_")[0]).iterdir()
    return needed | {
        str(file.relative_to(ROOT))
        for file in beside
        if file.is_file() and file.suffix not in (".py", ".pyc") and file.name[0] != "."
    }


def chosen_of(stage: str) -> set[str]:
    """The lists of what params.yaml chooses for a stage, as deps of dvc.yaml."""
    libraries = _libraries(stage, closure(*entry_modules(stage)))
    libraries -= {"heads"} if stage == ALL_HEADS else set()
    return {f"{LISTS}/{library}/{CHOSEN[library]}" for library in libraries}


def _libraries(stage: str, needed: set[str]) -> set[str]:
    return loaded_libraries(needed) | NAMED_BY_ENTRY.get(stage, set())


def entry_modules(stage: str) -> list[str]:
    """extract_external runs stages.extract and stages.extract.external, extract its images."""
    package, _, module = stage.partition("_")
    module = module or OWN.get(stage, "")
    return [f"stages.{package}.__main__", *([f"stages.{package}.{module}"] if module else [])]


def module_file(module: str) -> Path | None:
    """The file of a dotted module of ours; None for a package or somebody else's module."""
    file = ROOT / (module.replace(".", "/") + ".py")
    return file if file.is_file() else None


parsed = cache(digest.parsed)


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names of our modules that `file` imports, within functions too."""
    found: set[str] = set()
    for node in _executed(parsed(file)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.startswith("stages.") and module_file(name))


def _executed(block: ast.AST) -> Iterator[ast.stmt]:
    """All statements but those under `if TYPE_CHECKING:`, inner ones too."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for node in getattr(block, field, ()):
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
    return {PACKAGE, *(str(module_file(module).relative_to(ROOT)) for module in seen)}


def loaded_libraries(files: set[str]) -> set[str]:
    """Libraries from which `files` choose a file by name: the first argument of load()."""
    return set().union(*(_loads(ROOT / file) for file in files))


@cache
def _loads(file: Path) -> frozenset[str]:
    if "load(" not in file.read_text():  # spares a walk through every expression
        return frozenset()
    libraries = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                libraries.add(first.value)
    return frozenset(libraries)
