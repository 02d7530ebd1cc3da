"""The code in the deps of dvc.yaml; `python -m tests.deps` writes it there anew.

A dep like data/check/losses/${loss} stands for the digest of each file of that library in turn.
What else a stage runs stands in its list. The stage check writes both, and depends on all code.
"""

from __future__ import annotations

from ruamel.yaml import YAML

from stages.check.code import LISTS, ROOT, chosen_of

FILE = ROOT / "dvc.yaml"
PIPELINE = YAML(typ="safe").load(FILE)["stages"]
CHECK = "check"


def definition(stage: dict) -> dict:
    return stage.get("do", stage)


def code_deps(stage: str) -> set[str]:
    """What a stage has in its deps beside data."""
    return {"stages"} if stage == CHECK else {str(LISTS / stage), *chosen_of(stage)}


def is_code_dep(dep: str) -> bool:
    return dep.startswith(f"{LISTS}/") or dep.split("/")[0] == "stages"


def main() -> None:
    """Write the code that stages depend on into dvc.yaml; all else in it stays."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    yaml.preserve_quotes = True
    document = yaml.load(FILE)
    for name, stage in document["stages"].items():
        deps = definition(stage)["deps"]
        other = [dep for dep in deps if not is_code_dep(dep)]
        code = sorted(code_deps(name))
        deps[:] = [*other, *code] if name == CHECK else [*code, *other]
    with FILE.open("w") as file:
        yaml.dump(document, file)


if __name__ == "__main__":
    main()
