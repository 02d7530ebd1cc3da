"""Recipes: what a file may say, the order in which files apply, and what params.yaml departs in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stages.core.errors import InputError
from stages.core.recipe_file import DATA, offered, read_data, read_recipe
from stages.core.recipes import compose, departures

BASE = {
    "schema": 1,
    "dataset": "small",
    "seed": 0,
    "test_sets": ["own"],
    "datasets": {"small": {"root": "s"}, "own": {"root": "o"}},
    "benchmarks": {"own_pairs": {"protocol": "pairs", "dataset": "own"}},
    "features": {},
    "losses": {"arcface": {"scale": 16.0, "margin": 0.3}},
    "distill": {"epochs": 5, "augment": {"flip": 0.5}},
}
FOUND = {"format": "bin", "align": "none"}
SETS = {
    "big": {"datasets": {"big": {"format": "recordio", "root": "data/raw/big", "align": "none"}}},
    "lfw": {
        "datasets": {"lfw": {"root": "data/raw/lfw.bin", **FOUND}},
        "benchmarks": {"lfw": {"protocol": "pairs", "dataset": "lfw"}},
    },
    "cfp": {
        "datasets": {"cfp": {"root": "data/raw/cfp.bin", **FOUND}},
        "benchmarks": {"cfp": {"protocol": "pairs", "dataset": "cfp"}},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, **{DATA: SETS})


def write(folder: Path, **recipes: dict) -> Path:
    for name, recipe in recipes.items():
        own = {} if name.startswith("_") else {"note": "a test"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own | recipe, sort_keys=False))
    return folder


def test_params_merge_and_lists_replace(folder) -> None:
    params = {"seed": 3, "distill": {"augment": {"zoom": 0.1}}, "test_sets": ["small"]}
    found = compose("one", BASE, folder=write(folder, one={"params": params})).params
    assert found["distill"] == {"epochs": 5, "augment": {"flip": 0.5, "zoom": 0.1}}
    assert (found["seed"], found["test_sets"], found["dataset"]) == (3, ["small"], "small")
    assert found["datasets"] == BASE["datasets"]
    assert BASE["distill"] == {"epochs": 5, "augment": {"flip": 0.5}}


def test_the_name_stands_behind_the_schema_and_first_without_one(folder) -> None:
    write(folder, one={})
    assert [*compose("one", BASE, folder=folder).params][:3] == ["schema", "recipe", "dataset"]
    assert [*compose("one", {"seed": 1, "recipe": "x"}, folder=folder).params] == ["recipe", "seed"]


def test_null_stands_for_the_defaults_of_a_loss(folder) -> None:
    write(folder, one={"params": {"losses": {"arcface": None}}})
    assert compose("one", BASE, folder=folder).params["losses"] == {"arcface": None}


def test_a_replaced_section_is_written_whole(folder) -> None:
    own = {"params": {"distill": {"augment": {"zoom": 1}}}, "replace": ["distill.augment"]}
    found = compose("one", BASE, folder=write(folder, one=own)).params
    assert found["distill"] == {"epochs": 5, "augment": {"zoom": 1}}


def test_bases_apply_first_to_last_each_once_and_the_recipe_last(folder) -> None:
    write(
        folder,
        _root={"params": {"a": "root", "b": "root", "c": "root", "d": "root"}},
        _left={"base": ["_root"], "params": {"b": "left", "c": "left", "d": "left"}},
        _right={"base": ["_root"], "params": {"c": "right", "d": "right"}},
        one={"base": ["_left", "_right"], "params": {"d": "one"}},
    )
    found = compose("one", {}, folder=folder)
    assert [*found.steps] == ["_root", "_left", "_right", "one"]
    expected = {"recipe": "one", "a": "root", "b": "left", "c": "right", "d": "one"}
    assert found.params == expected


def test_what_is_needed_is_all_there_is(folder) -> None:
    write(folder, _packs={"needs": ["lfw"]}, one={"base": ["_packs"], "needs": ["big", "cfp"]})
    found = compose("one", BASE, folder=folder)
    assert [*found.needs] == ["lfw", "big", "cfp"]
    assert [*found.params["datasets"]] == ["lfw", "big", "cfp"]
    assert found.params["test_sets"] == ["lfw", "cfp"]
    assert found.params["benchmarks"] == SETS["lfw"]["benchmarks"] | SETS["cfp"]["benchmarks"]


def test_own_options_of_a_benchmark_merge_over_what_is_needed(folder) -> None:
    params = {"benchmarks": {"lfw": {"centre": True}}}
    found = compose("one", BASE, folder=write(folder, one={"needs": ["lfw"], "params": params}))
    lfw = {"protocol": "pairs", "dataset": "lfw", "centre": True}
    assert found.params["benchmarks"] == {"lfw": lfw}


def test_a_set_that_is_left_out_leaves_nothing_behind(folder) -> None:
    lists = {
        "benchmarks": {"cfp": {"centre": True}, "both": {"protocol": "quality", "dataset": "cfp"}},
        "features": {"f": {"dataset": "cfp", "file": "f.npy"}},
    }
    write(folder, one={"needs": ["lfw", "cfp"], "params": lists})
    found = compose("one", BASE, without=["cfp"], folder=folder)
    assert found.left_out == ("cfp",)
    assert [*found.needs] == ["lfw", "cfp"]
    assert found.params["datasets"] == SETS["lfw"]["datasets"]
    assert found.params["benchmarks"] == SETS["lfw"]["benchmarks"]
    assert (found.params["test_sets"], found.params["features"]) == (["lfw"], {})


def test_features_of_images_that_are_tested_no_more_go(folder) -> None:
    features = {"f": {"dataset": "own", "file": "f.npy"}, "g": {"dataset": "small", "file": "g"}}
    base = BASE | {"test_sets": ["own", "small"], "features": features}
    own = {"datasets": {"small": {"root": "s"}}, "test_sets": ["small"]}
    write(folder, one={"needs": ["lfw"]}, two={"params": own, "replace": ["datasets"]}, three={})
    assert compose("one", base, folder=folder).params["features"] == {}
    assert compose("two", base, folder=folder).params["features"] == {"g": features["g"]}
    assert compose("three", base, folder=folder).params["features"] == features
    assert "f" in base["features"]


def test_another_root_stands_for_that_of_published_sets(folder) -> None:
    write(folder, one={"needs": ["lfw"]})
    found = compose("one", BASE, root="/mnt/faces", folder=folder)
    assert found.params["datasets"]["lfw"] == {"root": "/mnt/faces/lfw.bin", **FOUND}
    assert (
        SETS["lfw"]["datasets"]["lfw"]["root"] == read_data(folder)["lfw"].datasets["lfw"]["root"]
    )


def test_files_that_begin_with_an_underscore_are_not_offered(folder) -> None:
    write(folder, _part={}, b={}, a={})
    assert offered(folder) == ["a", "b"]
    with pytest.raises(InputError, match="'_part' is none of a, b"):
        compose("_part", BASE, folder=folder)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            {"parms": {}},
            r"one\.yaml: parms: unknown key.*reproduces, needs, base, note, replace, p",
        ),
        ({"needs": ["lfv"]}, r"one\.yaml: needs: 'lfv' is none of big, lfw, cfp"),
        ({"base": ["_prt"]}, r"one\.yaml: base: '_prt' is none of _part, one"),
        ({"base": ["_data"]}, r"one\.yaml: base: '_data' is none of _part, one"),
        ({"base": ["_part", "one"]}, r"base of itself: one -> one"),
        ({"replace": ["distill"]}, r"one\.yaml: replace: 'distill' is not a section that `params`"),
        ({"replace": ["seed"], "params": {"seed": 1}}, r"replace: 'seed' is not a section"),
        ({"needs": "lfw"}, r"one\.yaml: needs: .*list"),
        ({"note": 3}, r"one\.yaml: note: .*text"),
        ({"note": " \n"}, r"one\.yaml: note: the recipe reproduces no published row"),
        ({"note": ""}, r"one\.yaml: note: the recipe reproduces no published row"),
        ({"reproduces": "btnet"}, r"one\.yaml: reproduces"),
        ({"params": {"recipe": "two"}}, r"one\.yaml: params\.recipe: .*does not set `recipe`"),
        ({"params": {"schema": 1}}, r"one\.yaml: params\.schema: .*does not set `schema`"),
        ({"params": {"datasets": None}}, r"one\.yaml: datasets: .*a mapping, not null"),
        ({"params": {"datasets": {"own": None}}}, r"one\.yaml: datasets\.own: .*a mapping, not n"),
        ({"params": {"benchmarks": {"b": 3}}}, r"one\.yaml: benchmarks\.b: .*a mapping, not 3"),
        ({"params": {"test_sets": None}}, r"one\.yaml: test_sets: .*a list, not null"),
        ({"params": [1]}, r"one\.yaml: params"),
    ],
)
def test_a_wrong_file_is_refused_with_the_valid_names(folder, recipe: dict, said: str) -> None:
    write(folder, _part={}, one=recipe)
    with pytest.raises(InputError, match=said):
        compose("one", BASE, folder=folder)


def test_a_circle_of_bases_is_named(folder) -> None:
    write(folder, one={"base": ["_a"]}, _a={"base": ["_b"]}, _b={"base": ["_a"]})
    with pytest.raises(InputError, match=r"_b\.yaml: base: .*itself: _a -> _b -> _a"):
        compose("one", BASE, folder=folder)


def test_a_key_that_comes_twice_is_refused(folder) -> None:
    (folder / "one.yaml").write_text("note: a\nparams: {}\nnote: b\n")
    with pytest.raises(InputError, match=r"one\.yaml: line 3: the key note is in lines 1 and 3"):
        compose("one", BASE, folder=folder)


def test_an_entry_of_a_data_set_needs_a_root(folder) -> None:
    write(folder, **{DATA: {"lfw": {"datasets": {"lfw": FOUND}}}})
    with pytest.raises(InputError, match=r"_data\.yaml: lfw\.datasets\.lfw\.root"):
        read_data(folder)


def test_rows_are_lists_of_columns_with_lists_of_values(folder) -> None:
    write(folder, one={"reproduces": {"paper": "btnet", "table": ["a", "b"]}}, two={})
    assert read_recipe("one", folder).reproduces == [{"paper": ["btnet"], "table": ["a", "b"]}]
    assert read_recipe("two", folder).reproduces == []


def test_only_what_a_recipe_decides_departs_from_it(folder) -> None:
    section = {"params": {"distill": {"epochs": 1}}, "replace": ["distill"]}
    write(folder, one=section | {"needs": ["lfw"]})
    params = compose("one", BASE, folder=folder).params
    assert departures(params, folder) == []
    params["seed"] = 7
    assert departures(params, folder) == []
    params["distill"] = {"epochs": 2, "clip": 5.0}
    params["benchmarks"]["more"] = {"protocol": "pairs", "dataset": "lfw"}
    assert {str(change) for change in departures(params, folder)} == {
        "distill.epochs: 1 -> 2",
        "distill.clip: absent -> 5.0",
        "benchmarks.more: absent -> {protocol: pairs, dataset: lfw}",
    }


def test_without_a_recipe_nothing_departs(folder) -> None:
    assert departures(BASE, folder) == departures(BASE | {"recipe": None}, folder) == []
    with pytest.raises(InputError, match="'gone' is none of"):
        departures(BASE | {"recipe": "gone"}, folder)
