"""The files in recipes/: one experiment each, and the data sets that experiments need."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from stages.core.errors import InputError
from stages.core.image_set import ImageSet
from stages.core.params import Section, parse
from stages.core.yaml12 import parse_yaml

FOLDER = Path("recipes")
DATA = "_data"  # the file of data sets
PART = "_"  # names of files that are bases of others, and are not offered, begin with it
KEY = "recipe"  # of params.yaml, which names the recipe that it holds
SCHEMA = "schema"  # the one key before it
SYNTAX = "correct the file; docs/recipes.md has an example"
Settings = dict[str, Any]


def _listed(value: Any) -> Any:
    """One mapping as a list of mappings, one value as a list of values."""
    entries = [value] if isinstance(value, dict) else value or []
    if not isinstance(entries, list):
        return entries
    return [
        {key: one if isinstance(one, list) else [one] for key, one in entry.items()}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]


def _empty(kind: type) -> BeforeValidator:
    return BeforeValidator(lambda value: kind() if value is None else value)


Rows = Annotated[list[dict[str, list[str]]], BeforeValidator(_listed)]
Names = Annotated[list[str], _empty(list)]
Overlay = Annotated[Settings, _empty(dict)]


class Recipe(Section):
    """One file.

    Attributes:
        reproduces: rows of published.csv; each mapping is column -> values, of which a row has one.
        needs: data sets, by their names in recipes/_data.yaml.
        base: recipes that come before this one, first to last.
        note: what a reader must know; the reason where no row is reproduced.
        replace: dotted names of sections of `params` that are written whole instead of merged.
        params: keys of params.yaml, nested as there.
    """

    reproduces: Rows = []
    needs: Names = []
    base: Names = []
    note: str = ""
    replace: Names = []
    params: Overlay = {}


class DataSet(Section):
    """An entry of recipes/_data.yaml: what stands in params.yaml where a recipe needs it.

    Attributes:
        datasets: entries of `datasets`.
        benchmarks: entries of `benchmarks`; none if the set is for training.
        origin: where the files come from, or what writes them; empty: as the format's reader says.
    """

    datasets: dict[str, Settings]
    benchmarks: dict[str, Settings] = {}
    origin: str = ""


def offered(folder: Path = FOLDER) -> list[str]:
    """Names of the recipes that a person may choose."""
    return sorted(f.stem for f in folder.glob("*.yaml") if not f.stem.startswith(PART))


def read_recipe(name: str, folder: Path = FOLDER, asked_by: str | None = None) -> Recipe:
    """The file NAME.yaml alone, without its bases.

    Args:
        asked_by: recipe that has it as a base; None if a person or params.yaml named it, who may
            name only what is offered.

    Raises:
        InputError: there is no such recipe, or the file is not valid.
    """
    file = folder / f"{name}.yaml"
    known = offered(folder)
    if asked_by:
        known = sorted(f.stem for f in folder.glob("*.yaml") if f.stem != DATA)
    if name not in known:
        problem = f"{name!r} is none of {', '.join(known) or 'nothing: there are no recipes'}"
        if asked_by:
            raise InputError(folder / f"{asked_by}.yaml", problem, "choose one of these", "base")
        raise InputError(folder, problem, "choose one of these, or write its file", "recipe")
    recipe = parse(Recipe, _mapping(file), "", file)
    if not name.startswith(PART) and not recipe.reproduces and not recipe.note.strip():
        problem = "the recipe reproduces no published row and gives no reason"
        raise InputError(file, problem, "write what it is for", "note")
    for key in (SCHEMA, KEY):
        if key in recipe.params:
            problem = f"a recipe does not set `{key}`, which the tool writes"
            raise InputError(file, problem, "take it out", f"params.{key}")
    for section in recipe.replace:
        if not _holds_section(recipe.params, section.split(".")):
            problem = f"{section!r} is not a section that `params` gives"
            raise InputError(file, problem, "name a section as in params: a.b", "replace")
    return recipe


def read_data(folder: Path = FOLDER) -> dict[str, DataSet]:
    """Every data set that a recipe may need, by name. Raise InputError if an entry is not valid."""
    file = folder / f"{DATA}.yaml"
    sets = {}
    for name, entry in _mapping(file).items():
        sets[name] = parse(DataSet, entry, name, file)
        for image_set, options in sets[name].datasets.items():
            parse(ImageSet, options, f"{name}.datasets.{image_set}", file)
    return sets


def _mapping(file: Path) -> Settings:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(file, "file not found", "run from the root of the project") from None
    except UnicodeDecodeError as fault:
        raise InputError(file, f"not UTF-8 text ({fault.reason})", "save it as UTF-8") from None
    values = parse_yaml(text, file, SYNTAX)
    if not isinstance(values, dict):
        raise InputError(file, "not a mapping", SYNTAX)
    return values


def _holds_section(params: Any, path: Iterable[str]) -> bool:
    for part in path:
        params = params.get(part) if isinstance(params, dict) else None
    return isinstance(params, dict)
