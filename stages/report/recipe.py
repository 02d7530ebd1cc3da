"""The recipe that params.yaml names, in a sentence."""

from __future__ import annotations

from stages.core.recipes import KEY, Settings, departures


def standing(params: Settings) -> str | None:
    """Name of the recipe, and each key that it decides and that has another value in `params`.

    None without a recipe. Raise InputError if it does not exist or is not valid.
    """
    name = params.get(KEY)
    if name is None:
        return None
    changes = [str(change) for change in departures(params)]
    if not changes:
        return f"Recipe {name}, as its file has it."
    return f"Recipe {name}; params.yaml departs from it in {'; '.join(changes)}."
