"""params.yaml with some keys changed, its comments kept, in the form that `dvc exp run -S` writes.

DVC loses comment lines that stand after a list or a key that goes. Here such lines belong to the
key below them: they are taken out before the keys change, and put back above that key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from stages.core.differences import ABSENT, Change
from stages.core.params import PARAMS_FILE
from stages.core.recipes import KEY, SCHEMA

Path = tuple[str, ...]  # parts of a dotted key
HEAD, END = ("",), ()  # stand for the keys below the first and the last lines of a file
MOST_PASSES = 4  # DVC's form is reached in two


def rewritten(text: str, changes: Iterable[Change]) -> str:
    """`text` of params.yaml with `changes`; what does not change keeps its place and comment."""
    bare, above = _without_standing_lines(text)
    return _settled(_with_standing_lines(_settled(as_set_by_dvc(bare, changes)), above))


def as_set_by_dvc(text: str, changes: Iterable[Change]) -> str:
    """`text` of params.yaml as `dvc exp run -S` leaves it, which loses some comment lines."""
    document = _parsed(text)
    for change in changes:
        section = document
        for part in change.path[:-1]:
            section = section[part]
        if change.new is ABSENT:
            del section[change.path[-1]]
        elif change.path == (KEY,) and KEY not in document:
            document.insert(int(SCHEMA in document), KEY, change.new)
        else:
            section[change.path[-1]] = change.new
    return dumps_yaml(document)


def _settled(text: str) -> str:
    """`text` as DVC leaves it however often it reads and writes it."""
    for _ in range(MOST_PASSES):
        again = dumps_yaml(_parsed(text))
        if again == text:
            break
        text = again
    return text


def _without_standing_lines(text: str) -> tuple[str, dict[Path, str]]:
    """`text` without blank lines and lines that hold only a comment, and these lines by the key
    that comes next."""
    keys, above = _lines_of_keys(text), {}
    kept, waiting = [], ""
    for number, line in enumerate(text.splitlines(keepends=True)):
        if not line.strip() or line.lstrip().startswith("#"):
            waiting += line
            continue
        if number in keys:
            above[keys[number] if kept else HEAD] = waiting
            waiting = ""
        kept.append(line)
    return "".join(kept), above | {END: waiting}


def _with_standing_lines(text: str, above: dict[Path, str]) -> str:
    keys = _lines_of_keys(text)
    lines = [
        (above.get(keys[number], "") if number in keys else "") + line
        for number, line in enumerate(text.splitlines(keepends=True))
    ]
    return above.get(HEAD, "") + "".join(lines) + above[END]


def _lines_of_keys(text: str) -> dict[int, Path]:
    """Number of a line, from 0 -> the first key in it."""
    found: dict[int, Path] = {}
    for path, line in _keys(_parsed(text)):
        found.setdefault(line, path)
    return found


def _keys(section: Any, path: Path = ()) -> Iterator[tuple[Path, int]]:
    for key, value in section.items():
        yield (*path, key), section.lc.key(key)[0]
        if isinstance(value, dict):
            yield from _keys(value, (*path, key))


def _parsed(text: str) -> Any:
    return parse_yaml_for_update(text, PARAMS_FILE)
