"""Recipes composed: the params.yaml that a file in recipes/, its bases and its data sets make."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.differences import Change, differences, flow
from stages.core.errors import InputError
from stages.core.params import PARAMS_FILE
from stages.core.recipe_file import (
    FOLDER,
    KEY,
    SCHEMA,
    DataSet,
    Recipe,
    Settings,
    read_data,
    read_recipe,
)

RAW = "data/raw"  # where the roots of recipes/_data.yaml are
LISTS = ("datasets", "test_sets", "benchmarks")  # keys that hold just what a recipe needs
ENTRIES = ("datasets", "benchmarks", "features")  # sections of which every entry is a mapping


@dataclass(frozen=True)
class Composed:
    """A recipe on top of other parameters.

    Attributes:
        name: of the recipe.
        params: all parameters, as params.yaml is to hold them.
        steps: recipes applied, by name, bases first, the recipe itself last.
        needs: data sets that the steps need together, by name, also those left out.
        left_out: names of needed data sets that `params` does without.
        whole: dotted names of the sections that hold what the recipe says and nothing else.
    """

    name: str
    params: Settings
    steps: dict[str, Recipe]
    needs: dict[str, DataSet]
    left_out: tuple[str, ...]
    whole: frozenset[str]

    @property
    def recipe(self) -> Recipe:
        """The recipe's own file."""
        return self.steps[self.name]


def compose(
    name: str,
    base: Settings,
    *,
    without: Collection[str] = (),
    root: str | None = None,
    folder: Path = FOLDER,
) -> Composed:
    """Recipe `name` on top of `base`, the parameters of a params.yaml, which stay as they are.

    Later wins: base, the lists of the data sets that are needed, bases of the recipe first to last
    (each once), the recipe itself. Mappings merge key by key, other values replace. Where the
    recipe has data sets of its own, features in `base` of all others go.

    Args:
        without: needed data sets to leave out, with their benchmarks.
        root: folder that stands for data/raw in the entries of needed data sets.

    Raises:
        InputError: a name in `base` or `needs` does not exist, bases go in a circle, or a file is
            not valid.
    """
    steps = _steps(name, folder)
    needs = _needed(steps, folder)
    left_out = tuple(one for one in needs if one in without)
    params = _with_name(base, name)
    whole = {section for recipe in steps.values() for section in recipe.replace}
    if needs:
        whole |= {*LISTS}
        params |= _lists({key: needs[key] for key in needs if key not in left_out}, root)
    _require_entries(base, PARAMS_FILE)
    for step, recipe in steps.items():
        _require_entries(recipe.params, folder / f"{step}.yaml")
        merge(params, recipe.params, recipe.replace)
    _leave_out(params, [needs[one] for one in left_out])
    if "datasets" in whole:
        _drop_features(params, base)
    return Composed(name, params, steps, needs, left_out, frozenset(whole))


def departures(params: Settings, folder: Path = FOLDER) -> list[Change]:
    """The keys that the recipe named in `params` decides and that have another value there.

    `old` is the recipe's value. Empty if no recipe is named. Raise InputError as compose does.
    """
    name = params.get(KEY)
    return [] if name is None else [*_departures(compose(name, {}, folder=folder), params)]


def _departures(composed: Composed, params: Settings) -> list[Change]:
    return [
        change for change in differences(composed.params, params) if decides(composed, change.path)
    ]


def decides(composed: Composed, path: tuple[str, ...]) -> bool:
    """Whether a recipe composed on top of {} sets the key at `path`, or that it be absent."""
    parents = (".".join(path[:depth]) for depth in range(1, len(path)))
    return any(one in composed.whole for one in parents) or sets(composed.params, path)


def sets(params: Any, path: Sequence[str]) -> bool:
    """Whether `params` hold the key at `path`, or instead of one of its sections another value."""
    for part in path:
        if not isinstance(params, dict):
            return True
        if part not in params:
            return False
        params = params[part]
    return True


def merge(into: Settings, new: Settings, replace: Collection[str] = (), at: str = "") -> None:
    """Write `new` into `into`, key by key but for sections whose dotted name is in `replace`."""
    for key, value in new.items():
        old, dotted = into.get(key), f"{at}{key}"
        if isinstance(old, dict) and isinstance(value, dict) and dotted not in replace:
            merge(old, value, replace, f"{dotted}.")
        else:
            into[key] = copy.deepcopy(value)


def _steps(
    name: str, folder: Path, above: tuple[str, ...] = (), asked_by: str | None = None
) -> dict[str, Recipe]:
    """The recipe and all its bases, each once, in the order in which they apply."""
    if name in above:
        circle = " -> ".join([*above[above.index(name) :], name])
        problem = f"a recipe is a base of itself: {circle}"
        raise InputError(folder / f"{above[-1]}.yaml", problem, f"take {name} out of it", "base")
    recipe, steps = read_recipe(name, folder, asked_by), {}
    for base in recipe.base:
        found = _steps(base, folder, (*above, name), name)
        steps |= {key: step for key, step in found.items() if key not in steps}
    return steps | {name: recipe}


def _needed(steps: dict[str, Recipe], folder: Path) -> dict[str, DataSet]:
    wanted = [(name, one) for name, recipe in steps.items() for one in recipe.needs]
    known = read_data(folder) if wanted else {}
    for name, one in wanted:
        if one not in known:
            problem = f"{one!r} is none of {', '.join(known)}"
            remedy = f"choose one of these, or add it to {folder / '_data.yaml'}"
            raise InputError(folder / f"{name}.yaml", problem, remedy, "needs")
    return {one: known[one] for _, one in wanted}


def _with_name(base: Settings, name: str) -> Settings:
    """A copy of `base` that names the recipe, first but for the number of the schema."""
    named = {key: base[key] for key in (SCHEMA,) if key in base} | {KEY: name}
    return copy.deepcopy(named | {key: one for key, one in base.items() if key not in named})


def _require_entries(params: Settings, file: Path) -> None:
    """Raise InputError unless the sections ENTRIES, if given, and `test_sets` have their form."""
    for section in ENTRIES:
        given = params.get(section, {})
        entries = {section: given}
        if isinstance(given, dict):
            entries |= {f"{section}.{name}": entry for name, entry in given.items()}
        for key, entry in entries.items():
            if not isinstance(entry, dict):
                problem = f"input should be a mapping, not {flow(entry)}"
                raise InputError(file, problem, "give its keys, or leave it out", key)
    if not isinstance(tests := params.get("test_sets", []), list):
        problem = f"input should be a list, not {flow(tests)}"
        raise InputError(file, problem, "list names of `datasets`, or leave it out", "test_sets")


def _lists(needs: dict[str, DataSet], root: str | None) -> Settings:
    """What params.yaml has of data sets: those for training have no benchmarks."""
    found = {
        "datasets": {key: one for need in needs.values() for key, one in need.datasets.items()},
        "test_sets": [key for need in needs.values() if need.benchmarks for key in need.datasets],
        "benchmarks": {key: one for need in needs.values() for key, one in need.benchmarks.items()},
    }
    if root is not None:
        found["datasets"] = {
            name: {key: _moved(value, root) for key, value in entry.items()}
            for name, entry in found["datasets"].items()
        }
    return copy.deepcopy(found)


def _moved(value: Any, root: str) -> Any:
    within = isinstance(value, str) and value.startswith(f"{RAW}/")
    return f"{root}/{value.removeprefix(f'{RAW}/')}" if within else value


def _leave_out(params: Settings, left: list[DataSet]) -> None:
    """Take away what was left out: image sets, their benchmarks, and features of their images."""
    sets = {name for need in left for name in need.datasets}
    gone = {
        "datasets": sets,
        "benchmarks": {name for need in left for name in need.benchmarks},
        "features": set(),
    }
    for section, names in gone.items():
        entries = params.get(section, {})
        for name in [*entries]:
            if name in names or entries[name].get("dataset") in sets:
                del entries[name]
    if sets:
        params["test_sets"] = [name for name in params["test_sets"] if name not in sets]


def _drop_features(params: Settings, base: Settings) -> None:
    """Take away the features that `base` has of images which are in no test set any more."""
    tests = params.get("test_sets") or []
    kept = params.get("features") or {}
    for name, entry in (base.get("features") or {}).items():
        if kept.get(name) == entry and entry.get("dataset") not in tests:
            del kept[name]
