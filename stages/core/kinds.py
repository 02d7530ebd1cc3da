"""Kinds of values in params.yaml: a number, true or false, and text are three things.

Pydantic takes one for another by default (`flip: true` is a probability of 1.0, `easy: 1` is true,
`lr: '0.1'` is 0.1), while DVC and dvc.lock hold what is written.
"""

from __future__ import annotations

import reprlib
from datetime import date
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticCustomError

OTHER_KIND = "other_kind"  # type of the error
BRIEF = reprlib.Repr()  # YAML's aliases make a kilobyte a value that fills the world when printed
BRIEF.maxlevel, BRIEF.maxstring, BRIEF.maxother = 2, 80, 80
BOOLEANS = {"true", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "1", "0"}


def refuse_other_kind(wanted: Any, value: Any, where: str = "input") -> None:
    """Raise pydantic's error if `value` would be taken for the kind that `wanted` names.

    What pydantic refuses itself is left to it, and so are sections, which look after their own.

    Args:
        wanted: annotation of a field, such as `tuple[float, ...] | None`.
        where: which part of the field `value` is.
    """
    options = _options(wanted)
    if any(option is Any or option is object for option in options):
        return
    if isinstance(value, list | tuple):
        for option in options:
            if get_origin(option) in (list, tuple):
                for number, item in enumerate(value, 1):
                    refuse_other_kind(_of_item(option, number), item, f"item {number}")
    elif isinstance(value, dict):
        for option in options:
            if get_origin(option) is dict:
                for name, item in value.items():
                    refuse_other_kind(get_args(option)[1], item, f"`{name}`")
    elif value is not None:
        _refuse_scalar(options, value, where)


def _refuse_scalar(options: list[Any], value: Any, where: str) -> None:
    choices = [choice for o in options if get_origin(o) is Literal for choice in get_args(o)]
    if any(type(choice) is type(value) and choice == value for choice in choices):
        return
    plain = {option for option in options if option in (bool, int, float, str)}
    kinds = plain | {type(choice) for choice in choices}
    numbers = bool(kinds & {int, float})
    number = "a number" if float in kinds else "a valid integer"
    if isinstance(value, str):
        if str in plain:
            return
        if numbers and _is_number(value):
            remedy = "write it plainly, without quotes or leading zeros"
            raise _fault(where, number, value, remedy)
        if bool in kinds and value.lower() in BOOLEANS:
            raise _fault(where, "true or false", value, "write true or false")
    elif type(value) in (bool, int, float, bytes) or isinstance(value, date):
        if bool in kinds if isinstance(value, bool) else numbers:
            return
        if numbers:
            raise _fault(where, number, value, f"write {number}")
        if bool in kinds:
            raise _fault(where, "true or false", value, "write true or false")
        if str in plain:
            remedy = f'if that is its name, put it in quotes: "{_spelled(value)}"'
            raise _fault(where, "text", value, remedy)


def _fault(where: str, kind: str, value: Any, remedy: str) -> PydanticCustomError:
    context = {"problem": f"{where} should be {kind}, not {_spelled(value)}", "remedy": remedy}
    return PydanticCustomError(OTHER_KIND, "{problem}", context)


def _spelled(value: Any) -> str:
    """As params.yaml has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else BRIEF.repr(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _options(wanted: Any) -> list[Any]:
    """The annotations of which a value may match any."""
    if get_origin(wanted) is Annotated:
        return _options(get_args(wanted)[0])
    if get_origin(wanted) in (Union, UnionType):
        return [option for part in get_args(wanted) for option in _options(part)]
    return [wanted]


def _of_item(sequence: Any, number: int) -> Any:
    """Annotation of an item, from 1, of a list or tuple."""
    kinds = get_args(sequence)
    if get_origin(sequence) is list or kinds[-1] is Ellipsis:
        return kinds[0]
    return kinds[min(number, len(kinds)) - 1]
