"""The code that each stage of dvc.yaml depends on; `python -m tests.deps` writes it there anew.

A dep like stages/losses/${loss}.py stands for each file of that library in turn.
"""

from __future__ import annotations

from ruamel.yaml import YAML

from tests.closure import ROOT, STAGES, closure, loaded_libraries

FILE = ROOT / "dvc.yaml"
CHOSEN = {  # what names the file of a library that a stage loads
    "losses": "${loss}",
    "networks": "${backbone.name}",
    "heads": "${item.head}",
    "datasets": "${item.format}",
    "protocols": "${item.protocol}",
}
NAMED_BY_ENTRY = {"unpack": {"datasets"}, "evaluate": {"protocols"}}
PIPELINE = YAML(typ="safe").load(FILE)["stages"]


def definition(stage: dict) -> dict:
    return stage.get("do", stage)


def is_code(dep: str) -> bool:
    return dep.startswith("stages/") and dep.endswith(".py")


def entry_modules(command: str) -> list[str]:
    """`python -m stages.extract head_${..} set` runs stages.extract and stages/extract/head."""
    words = command.split()
    package = words[words.index("-m") + 1]
    entries = [f"{package}.__main__"]
    if package == "stages.extract":
        entries.append(f"{package}.{words[words.index('-m') + 2].partition('_')[0]}")
    return entries


def code_of(stage: str, command: str) -> set[str]:
    """Every file of the import closure of a stage, whatever it is told to load, and no other."""
    needed = closure(*entry_modules(command))
    libraries = loaded_libraries(needed) | NAMED_BY_ENTRY.get(stage, set())
    for library in libraries:
        for file in (STAGES / library).glob("[!_]*.py"):
            loaded = closure(f"stages.{library}.{file.stem}")
            needed |= loaded - {str(file.relative_to(ROOT))}
    return needed | {f"stages/{library}/{CHOSEN[library]}.py" for library in libraries}


def main() -> None:
    """Write the code that stages depend on into dvc.yaml; all else in it stays."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    yaml.preserve_quotes = True
    document = yaml.load(FILE)
    for name, stage in document["stages"].items():
        deps = definition(stage)["deps"]
        other = [dep for dep in deps if not is_code(dep)]
        deps[:] = [*other, *sorted(code_of(name, definition(stage)["cmd"]))]
    with FILE.open("w") as file:
        yaml.dump(document, file)


if __name__ == "__main__":
    main()
