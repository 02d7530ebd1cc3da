"""The code in the deps of dvc.yaml.

A dep like data/check/losses/${loss} stands for the digest of each file of that library in turn.
What else a stage runs stands in its list. The stage check writes both, and depends on all code.
"""

from __future__ import annotations

from ruamel.yaml import YAML

from stages.check.__main__ import RECIPE
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
    is_listed = dep.startswith(f"{LISTS}/") and dep != str(LISTS / RECIPE)
    return is_listed or dep.split("/")[0] == "stages"
