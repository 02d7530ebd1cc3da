"""Every file in recipes/: it is whole, and with its data there `check` accepts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.check import validate as check
from stages.check.code import ROOT
from stages.core.params import read_params
from stages.core.recipe_file import DATA, PART, offered, read_data, read_recipe
from stages.core.recipes import compose
from stages.report.published import read_published

RECIPES = ROOT / "recipes"
OFFERED = offered(RECIPES)
PARTS = sorted(f.stem for f in RECIPES.glob(f"{PART}*.yaml") if f.stem != DATA)
PARAMS = read_params(ROOT / "params.yaml")
IMPORTED = {"tnet": "iresnet", "adaface": "ir"}  # models that recipes begin at: their networks
EMBEDDED = ["quick", *(name for name in OFFERED if name.endswith("_orl"))]
PUBLISHED = [name for name in OFFERED if read_recipe(name, RECIPES).reproduces]
SYSTEMS = ("btnet", "magface", "scf", "coreset", "multiface")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project in which the models that recipes begin at are there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "_require_model", lambda key, name, remedy: IMPORTED[name])
    monkeypatch.setattr(check, "_network_of", lambda network: {"name": network})
    return tmp_path


def make_roots(params: dict[str, Any]) -> None:
    for entry in params["datasets"].values():
        Path(entry["root"]).mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("name", OFFERED)
def test_a_recipe_is_valid_where_its_data_are(project: Path, name: str) -> None:
    params = compose(name, PARAMS, folder=RECIPES).params
    make_roots(params)
    check.validate(params)


@pytest.mark.parametrize("name", OFFERED)
def test_a_recipe_of_other_data_has_nothing_of_the_embedded_ones(name: str) -> None:
    made = compose(name, PARAMS, folder=RECIPES)
    if not made.needs:
        assert made.params["dataset"] == "orl"
        return
    used = {made.params["dataset"], *made.params["test_sets"]}
    assert used == made.params["datasets"].keys()
    assert {one["dataset"] for one in made.params["benchmarks"].values()} <= used


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_recipe_on_the_embedded_faces_needs_nothing_of_params(project: Path, name: str) -> None:
    """Whose own experiment has another training set, test sets, trunk and schedule."""
    own = {"format": "folder", "root": "mine", "align": "none"}
    head = PARAMS | {
        "dataset": "mine",
        "trunk": "tnet",
        "datasets": {"mine": own, "orl_pack": own},
        "test_sets": ["mine", "orl_pack"],
        "benchmarks": {"mine": {"protocol": "all_pairs", "dataset": "mine"}},
        "features": {
            "mine": {"dataset": "mine", "file": "mine.npy", "dimensions": 8},
            "other": {"dataset": "orl_pack", "file": "other.npy", "dimensions": 8},
        },
        "schedule": "mine",
        "schedules": {"mine": PARAMS["schedules"]["orl"]},
    }
    made = compose(name, head, folder=RECIPES).params
    plain = compose(name, PARAMS, folder=RECIPES).params
    assert [*made["features"]] == (["other"] if "orl_pack" in plain["test_sets"] else [])
    keys = ("dataset", "trunk", "datasets", "test_sets", "benchmarks", "schedule")
    assert {key: made[key] for key in keys} == {key: plain[key] for key in keys}
    assert made["schedules"]["orl"] == plain["schedules"]["orl"]
    make_roots(made)
    Path("other.npy").touch()
    check.validate(made)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_depends_on_nothing_of_params(name: str) -> None:
    """Other values in params.yaml, and keys that it does not have, reach no part of the model."""
    schedule = compose(name, {}, folder=RECIPES).params["schedule"]
    other = {"augment": {"zoom": 0.1}, "clip": 1.0, "warmup_epochs": 3, "dropout": 0.5}
    altered = {
        "dataset": "mine",
        "trunk": "mine",
        "loss": "softmax",
        "resolutions": [7],
        "heads": ["pfe_v"],
        "backbone": {"name": "ir", "depth": 200, "width": 0.5, "embedding": 64, "flavour": "x"},
        "classifier": {"spheres": 8, "sample_rate": 0.1, "initial": "other"},
        "train": dict.fromkeys(PARAMS["train"], "other"),
        "losses": {key: {"scale": 1.0} for key in PARAMS["losses"]},
        "schedule": "mine",
        "schedules": {schedule: other},
        "distill": dict.fromkeys(PARAMS["distill"], "other") | other,
        "head": {key: dict(other) for key in PARAMS["head"]},
    }
    plain = compose(name, PARAMS, folder=RECIPES).params
    made = compose(name, PARAMS | altered, folder=RECIPES).params
    assert _model(made) == _model(plain)


def _model(params: dict[str, Any]) -> dict[str, Any]:
    """All parameters that a model is made of, but for the seed and the machine's."""
    chosen = ("dataset", "trunk", "loss", "resolutions", "heads", "schedule")
    parts = {key: params[key] for key in (*chosen, "backbone", "classifier", "train")}
    parts["margin"] = params["losses"][params["loss"]]
    parts["optimisation"] = params["schedules"][params["schedule"]]
    if params["resolutions"]:
        parts["distill"] = params["distill"]
    if params["heads"]:
        parts |= {name: params["head"][name] for name in ("shared", *params["heads"])}
    return parts


def test_every_data_set_is_valid_in_one_experiment(project: Path) -> None:
    sets = read_data(RECIPES).values()
    assert sum(len(one.datasets) for one in sets) == len({n for one in sets for n in one.datasets})
    params = PARAMS | {
        "datasets": PARAMS["datasets"] | {k: v for one in sets for k, v in one.datasets.items()},
        "benchmarks": {k: v for one in sets for k, v in one.benchmarks.items()},
        "test_sets": [name for one in sets if one.benchmarks for name in one.datasets],
    }
    make_roots(params)
    check.validate(params)


def test_every_part_is_used() -> None:
    steps = {step for name in OFFERED for step in compose(name, {}, folder=RECIPES).steps}
    assert set(PARTS) <= steps


def test_every_published_benchmark_with_a_reader_is_a_data_sets() -> None:
    """A benchmark pairs by its name; means of packs are taken by the report."""
    ours = {name for one in read_data(RECIPES).values() for name in one.benchmarks}
    published = {*read_published()["benchmark"]}
    unread = {"ijbs-sur2single", "ijbs-sur2book", "ijbs-sur2sur", "training"}
    assert published - unread - {"lfw-family-mean", "hq5-mean"} <= ours


@pytest.mark.parametrize("name", ["lfw_res", "lfw_long"])
def test_the_experiments_on_lfw_differ_in_what_they_are_about(name: str) -> None:
    plain, other = (compose(one, PARAMS, folder=RECIPES).params for one in ("lfw_plain", name))
    about = {"lfw_res": ("augment", plain["schedules"]["lfw"]["augment"] | {"low_resolution": 0.8}),
             "lfw_long": ("epochs", 30)}  # fmt: skip
    key, value = about[name]
    assert other["schedules"]["lfw"] == plain["schedules"]["lfw"] | {key: value}
    assert other["distill"] == plain["distill"]
    assert other["losses"] == plain["losses"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_has_a_recipe_on_the_embedded_faces(system: str) -> None:
    params = compose(f"{system}_orl", PARAMS, folder=RECIPES).params
    parts = {
        "btnet": params["resolutions"] == [28, 14, 7],
        "magface": params["loss"] == "magface",
        "scf": params["heads"] == ["scf"],
        "coreset": params["heads"] == ["coreset"],
        "multiface": params["classifier"]["spheres"] > 1,
    }
    assert [name for name, present in parts.items() if present] == [system]


def test_nothing_of_the_embedded_faces_is_left_in_a_published_section() -> None:
    """Augmentation, warm-up and epochs of ORL's branches and heads."""
    branches = compose("btnet_r50_ms1mv3", PARAMS, folder=RECIPES).params["distill"]
    assert branches["augment"] == {"flip": 0.5}
    assert branches["warmup_epochs"] == 0
    for name in OFFERED:
        params = compose(name, PARAMS, folder=RECIPES).params
        if read_recipe(name, RECIPES).reproduces and params["heads"]:
            assert params["head"]["shared"]["augment"] == {"flip": 0.5}
            assert "warmup_epochs" not in params["head"]["shared"]
