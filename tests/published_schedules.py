"""The published schedules, as the recipes give them to the stages."""

from __future__ import annotations

from functools import cache
from typing import Any

from stages.check.code import ROOT
from stages.core.params import read_params
from stages.core.recipe_file import offered
from stages.core.recipes import compose
from stages.core.schedule import Schedule

RECIPES = ROOT / "recipes"
TRUNKS = {  # schedule -> a recipe that trains a trunk by it
    "btnet_trunk": "btnet_r50_ms1mv3",
    "btnet_surv": "btnet_r50_survface",
    "magface": "magface_r100_ms1mv2",
    "multiface_mobile": "arcface_mobilefacenet_emore",
    "multiface_irse": "multi_arcface_n_2_ir_se100_emore",
    "adaface": "adaface_ir50_ms1mv2",
}
BRANCHES = {"btnet_branch": "btnet_r50_ms1mv3"}
HEADS = {
    "scf": "arcface_scf_resnet100_ms1m",
    "pfe": "arcface_pfe_g_resnet100_ms1m",
    "facecoresetnet": "coreset_webface4m",
}

OURS = ("orl", "lfw_train")  # training sets of no published recipe


@cache
def composed(recipe: str) -> dict[str, Any]:
    """The parameters of a recipe."""
    return compose(recipe, read_params(ROOT / "params.yaml"), folder=RECIPES).params


def published_schedules() -> dict[str, dict[str, Any]]:
    """Those of trunks, branches and heads, by name."""
    found = {name: composed(recipe)["schedules"][name] for name, recipe in TRUNKS.items()}
    for name, recipe in BRANCHES.items():
        found[name] = _schedule(composed(recipe)["distill"])
    for name, recipe in HEADS.items():
        found[name] = _schedule(composed(recipe)["head"]["shared"])
    return found


def used_by_recipes() -> list[dict[str, Any]]:
    """The schedules by which recipes train on published data, each as often as it is used."""
    used = []
    for params in map(composed, offered(RECIPES)):
        if params["dataset"] in OURS:
            continue
        used += [params["schedules"][params["schedule"]]] if params["trunk"] == "train" else []
        used += [params["distill"]] if params["resolutions"] else []
        used += [params["head"]["shared"]] if params["heads"] else []
    return [_schedule(one) for one in used]


def _schedule(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key in Schedule.model_fields}
