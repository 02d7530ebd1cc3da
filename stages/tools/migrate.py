"""params.yaml of an older version, rewritten in the form that this version reads.

Model files need no migration: a header without `schema` has the same content as one of schema 1
(stages/core/weights.py), and a rewritten file would have another SHA-256, by which branches and
heads know their trunk.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

from stages.check.schema import KEY, SCHEMA, schema_of
from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.params import PARAMS_FILE, RESTORE, read_params
from stages.core.yaml12 import parse_yaml


def main() -> None:
    """Rewrite params.yaml in the current schema; its comments and settings stay as they are."""
    before = read_params()
    schema = schema_of(before)
    if schema == SCHEMA:
        print(f"{PARAMS_FILE}: has schema {SCHEMA} already")
        return
    text = numbered(PARAMS_FILE.read_bytes().decode("utf-8"))
    if not _holds(text, {KEY: SCHEMA} | before):
        remedy = f"insert `{KEY}: {SCHEMA}` as its first line"
        raise InputError(PARAMS_FILE, "has a form that this command does not know", remedy)
    with atomic_file(PARAMS_FILE) as scratch:
        scratch.write_bytes(text.encode("utf-8"))
    print(f"{PARAMS_FILE}: schema {schema} -> {SCHEMA}; see git diff, then python -m stages.check")


def _holds(text: str, params: dict[str, Any]) -> bool:
    try:
        return parse_yaml(text, PARAMS_FILE, RESTORE) == params
    except InputError:
        return False


def numbered(text: str) -> str:
    """Schema 0 to 1: the key `schema` before the first key of `text`; nothing else differs.

    Raise InputError if `text` is one mapping in braces, which has no line to insert.
    """
    mapping = YAML().compose(text)
    if mapping.flow_style:
        remedy = f'insert "{KEY}": {SCHEMA}, after the first brace'
        raise InputError(PARAMS_FILE, "is a mapping in braces, such as JSON", remedy)
    first = mapping.value[0][0].start_mark
    line, newline, _ = text[first.index :].partition("\n")
    end = "\r\n" if newline and line.endswith("\r") else "\n"
    return f"{text[: first.index]}{KEY}: {SCHEMA}{end}{' ' * first.column}{text[first.index :]}"


if __name__ == "__main__":
    start(main)
