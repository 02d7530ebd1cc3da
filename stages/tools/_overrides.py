"""KEY=VALUE of a command line, as `dvc exp run -S` takes it."""

from __future__ import annotations

from typing import Any

from stages.core.errors import InputError
from stages.core.recipe_file import KEY, SCHEMA, Settings

COMMAND_LINE = "KEY=VALUE"


def apply(overrides: list[str], params: Settings) -> None:
    """Set keys of `params`. Raise InputError if a word is not KEY=VALUE, or a section of it does
    not exist; whether the last part of a key exists is for the validation to tell."""
    for word in overrides:
        key, equals, _ = word.partition("=")
        if not equals or not key:
            raise InputError(COMMAND_LINE, "not KEY=VALUE", "write for example seed=1", word)
        *sections, last = key.split(".")
        if key.split(".")[0] in (SCHEMA, KEY):
            remedy = "leave it out; the recipe is the first word of the command"
            raise InputError(COMMAND_LINE, "the tool itself writes this key", remedy, word)
        place: Any = params
        for depth, section in enumerate(sections):
            place = place.get(section)
            if not isinstance(place, dict):
                within = ".".join(sections[:depth]) or "params.yaml"
                problem = f"{'.'.join(sections[: depth + 1])} is not a section"
                known = _sections(params, sections[:depth])
                raise InputError(COMMAND_LINE, problem, f"sections of {within}: {known}", word)
        place[last] = _value(word)


def _sections(params: Settings, path: list[str]) -> str:
    for section in path:
        params = params[section]
    return ", ".join(key for key, value in params.items() if isinstance(value, dict)) or "none"


def _value(word: str) -> Any:
    from dvc.utils.hydra import to_hydra_overrides
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    try:
        (override,) = to_hydra_overrides([word])
    except HydraException as fault:
        problem = f"cannot be read ({str(fault).splitlines()[0]})"
        raise InputError(COMMAND_LINE, problem, "write it as for dvc exp run -S", word) from None
    if override.is_sweep_override() or override.type is not OverrideType.CHANGE:
        problem = "neither several values nor + and ~ can be written here"
        raise InputError(COMMAND_LINE, problem, "give one value; -S of dvc takes others", word)
    return _plain(override.value())


def _plain(value: Any) -> Any:
    """Hydra's quoted texts as text, within lists and mappings, too."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.text if isinstance(value, QuotedString) else value
