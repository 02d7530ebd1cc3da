"""How params.yaml departs from the recipe that it names: on stderr, and for the report."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from stages.core.committed import committed
from stages.core.differences import Change, differences
from stages.core.errors import InputError
from stages.core.params import PARAMS_FILE, RESTORE
from stages.core.recipes import KEY, Settings, compose, decides, departures
from stages.core.yaml12 import parse_yaml


def report_departures(params: Settings) -> None:
    """A line for each key that has another value than the recipe gives it, then one for each that
    the recipe leaves alone and that differs from HEAD's params.yaml, where git has it.

    Raise InputError if `params` name a recipe that does not exist or is not valid.
    """
    name = params.get(KEY)
    if name is None:
        return
    for change in departures(params):
        print(f"{PARAMS_FILE} departs from recipe {name}: {change}", file=sys.stderr)
    for change in _beside(params):
        print(f"{PARAMS_FILE}, beside recipe {name}: {change}", file=sys.stderr)


def _beside(params: Settings) -> Iterator[Change]:
    """Differences from HEAD in keys that the recipe does not set."""
    text = committed(PARAMS_FILE)
    try:
        before = parse_yaml(text or "", PARAMS_FILE, RESTORE)
    except InputError:  # HEAD's own fault
        return
    if not isinstance(before, dict):
        return
    recipe = compose(params[KEY], {})
    for change in differences(before, params):
        if not decides(recipe, change.path):
            yield change


def standing(params: Settings) -> str | None:
    """A sentence: the recipe, and each key that it decides and that has another value in `params`.

    It does not depend on HEAD. None without a recipe. Raise InputError if the recipe does not exist
    or is not valid.
    """
    name = params.get(KEY)
    if name is None:
        return None
    changes = [str(change) for change in departures(params)]
    if not changes:
        return f"Recipe {name}; the keys that it sets are as in its file."
    return f"Recipe {name}; params.yaml departs from it in {'; '.join(changes)}."
