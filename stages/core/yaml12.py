"""YAML as DVC reads it, version 1.2: one file means the same to DVC and to every stage.

PyYAML follows version 1.1, to which `010` is 8, `yes` is true, `1:30` is 90 and `1e-3` is text.
The reader here is the one that DVC calls, set up as DVC sets it up
(`dvc.utils.serialize.parse_yaml`). What DVC would read without a word, though nobody means it, is
refused by its line: a key that comes twice, a key that is not text, a tag, a %YAML directive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

from stages.core.bounded import bounded
from stages.core.errors import InputError

DEEPEST = 20  # levels of a document
TAG = "tag:yaml.org,2002:"
TEXT = f"{TAG}str"
KEYS = {TEXT, f"{TAG}merge", f"{TAG}value"}  # `<<` merges, and `=` is text where it is a key
KINDS = {"int": "a number", "float": "a number", "bool": "a boolean", "timestamp": "a date"}
CRASHES = (ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError)


@dataclass
class Mapping:
    """A mapping that is being read: line of each key, and whether a key comes next."""

    lines: dict[str, int] = field(default_factory=dict)
    at_key: bool = True


def parse_yaml(text: str, path: Path | str, remedy: str) -> Any:
    """The document `text`.

    Args:
        path: the file or command it stands in, named by errors.
        remedy: what to do where the document as a whole cannot be read.

    Raises:
        InputError: it is not YAML, asks for more memory than its size justifies, is too deep, has
            a key twice or a key that is not text, or carries a tag or a directive.
    """
    try:
        with bounded(path, remedy):
            _refuse_odd(path, YAML(typ="safe").parse(text), remedy)
            return YAML(typ="safe").load(text)
    except YAMLError as fault:
        where = getattr(fault, "problem_mark", None)
        line = f"line {where.line + 1}" if where else None
        reasons = (getattr(fault, "context", None), getattr(fault, "problem", None))
        why = f" ({', '.join(filter(None, reasons))})" if any(reasons) else ""
        remedy = "mend the syntax there" if line else remedy
        raise InputError(path, f"not valid YAML{why}", remedy, line) from None
    except CRASHES as fault:  # a number or a date that is none, such as +_ or 2024-13-01
        raise InputError(path, f"cannot be read ({fault})", remedy) from None


def _refuse_odd(path: Path | str, events: Iterable[Any], remedy: str) -> None:
    """Raise InputError at the first event that DVC would take and nobody means.

    Depth counts as well: the composer calls itself level by level, and the process dies without a
    word some ten thousand down.
    """
    resolver = VersionedResolver()
    open_ones: list[Mapping | None] = []  # None: a sequence
    for event in events:
        kind, line = type(event).__name__, event.start_mark.line + 1
        if kind == "DocumentStartEvent" and event.version not in (None, (1, 2)):
            asked = ".".join(map(str, event.version))
            problem = f"asks for version {asked} of YAML, and is read as 1.2"
            raise InputError(path, problem, "remove the line %YAML", f"line {line}")
        if kind in ("MappingEndEvent", "SequenceEndEvent"):
            open_ones.pop()
            continue
        if kind not in ("AliasEvent", "ScalarEvent", "MappingStartEvent", "SequenceStartEvent"):
            continue
        if getattr(event, "tag", None) not in (None, TEXT):
            problem = f"the tag {event.tag.replace(TAG, '!!')} has no meaning here"
            raise InputError(path, problem, "write the value without it", f"line {line}")
        mapping = open_ones[-1] if open_ones else None
        if mapping is not None:
            if mapping.at_key:
                _note_key(path, mapping, event, line, resolver)
            mapping.at_key = not mapping.at_key
        if kind.endswith("StartEvent"):
            open_ones.append(Mapping() if kind == "MappingStartEvent" else None)
            if len(open_ones) > DEEPEST:
                problem = f"more than {DEEPEST} levels deep"
                raise InputError(path, problem, remedy, f"line {line}")


def _note_key(
    path: Path | str, mapping: Mapping, event: Any, line: int, resolver: VersionedResolver
) -> None:
    """Raise InputError if the key at `event` is not text, or is in the mapping already."""
    name = getattr(event, "value", None)
    if name is None:
        problem = "the key is a list, a mapping or an alias, and keys are text"
        raise InputError(path, problem, "write its name", f"line {line}")
    tag = str(event.tag or resolver.resolve(ScalarNode, name, event.implicit))
    if tag not in KEYS:
        kind = KINDS.get(tag.removeprefix(TAG), "null")
        problem = f"the key {name or '(empty)'} is {kind}, and names are text"
        remedy = f'put it in quotes: "{name}":' if name else "write a name before the colon"
        raise InputError(path, problem, remedy, f"line {line}")
    if name in mapping.lines:
        problem = f"the key {name} is in lines {mapping.lines[name]} and {line}"
        if mapping.lines[name] == line:
            problem = f"the key {name} is in this line twice"
        raise InputError(path, problem, "keep one of them", f"line {line}")
    mapping.lines[name] = line
