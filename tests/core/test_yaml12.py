"""YAML has one meaning: DVC's. What nobody means is refused by its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from dvc.utils.serialize import YAMLFileCorruptedError
from dvc.utils.serialize import parse_yaml as parsed_by_dvc
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.errors import InputError
from stages.core.params import read_params
from stages.core.yaml12 import DEEPEST, parse_yaml

ROOT = Path(__file__).resolve().parent.parent.parent
WHERE = "params.yaml"


def read(text: str) -> object:
    return parse_yaml(text, WHERE, "restore it")


def same(ours: object, theirs: object) -> bool:
    """Equal, of the same type, and NaN is itself."""
    if isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours):
        return math.isnan(theirs)
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("010", 10), ("08", 8), ("0o10", 8), ("0x10", 16), ("0b11", 3), ("1_000", 1000),
        ("+1", 1), ("-1", -1), ("1e-3", 1e-3), ("1e-05", 1e-5), ("5e2", 500.0), (".5", 0.5),
        ("1.", 1.0), ("+.5", 0.5), (".5e3", ".5e3"), (".inf", math.inf), ("1:30", "1:30"),
        ("1:30.5", "1:30.5"), ("yes", "yes"), ("No", "No"), ("on", "on"), ("OFF", "OFF"),
        ("y", "y"), ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("'010'", "010"), ('"1e-3"', "1e-3"), ("none", "none"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_version_1_2_says(spelling: str, value: object) -> None:
    text = f"a: {spelling}\nb:\n  - {spelling}\n"
    found = read(text)
    assert same(found["a"], value)
    assert same(found["b"][0], value)
    assert found == parsed_by_dvc(text, WHERE)


SCALARS = st.text("0123456789+-_.:eExXobnNtTrRuUfFaAlLsSiIyY~ ", max_size=8)


@settings(max_examples=300, deadline=None)
@given(SCALARS)
def test_any_scalar_is_what_dvc_makes_of_it(scalar: str) -> None:
    text = f"a: {scalar}"
    try:
        ours = read(text)
    except InputError:
        with pytest.raises((YAMLFileCorruptedError, ValueError, IndexError)):
            parsed_by_dvc(text, WHERE)
        return
    theirs = parsed_by_dvc(text, WHERE)
    assert same(ours["a"], theirs["a"])


@pytest.mark.parametrize("name", ["params.yaml", "recipes/_data.yaml",
                                  "stages/report/sources.yaml"])  # fmt: skip
def test_our_files_are_what_dvc_makes_of_them(name: str) -> None:
    text = (ROOT / name).read_text()
    assert read(text) == parsed_by_dvc(text, name)


def test_params_are_read_as_dvc_reads_the_file(tmp_path: Path) -> None:
    """UTF-8 whatever the locale, with a byte order mark or CRLF."""
    file = tmp_path / "params.yaml"
    file.write_bytes("\ufeffname: Zoë\r\nlr: 1e-3\r\n".encode())
    assert read_params(file) == {"name": "Zoë", "lr": 1e-3}


def test_anchors_and_merge_keys_stay() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}"
    assert read(text) == parsed_by_dvc(text, WHERE)
    assert read(text)["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", r"line 3: the key a is in lines 1 and 3"),
        ("a:\n  b: 1\n  c: 2\n  b: 1\n", r"line 4: the key b is in lines 2 and 4"),
        ('a: {b: 1, "b": 2}', r"line 1: the key b is in this line twice"),
        ("a: {b: 1,\n  'b': 2}", r"line 2: the key b is in lines 1 and 2"),
        ("- a: 1\n  b: 2\n  a: 3\n", r"line 3: the key a is in lines 1 and 3"),
        ("x: &x {b: 1}\na: {<<: *x, c: 2, c: 3}", r"line 2: the key c is in this line twice"),
        ("x: &x {b: 1}\na: {<<: *x, <<: *x}", r"line 2: the key << is in this line twice"),
        ("a: &a {b: 1, b: 2}\nc: {<<: *a}", r"line 1: the key b is in this line twice"),
    ],
)
def test_a_key_that_comes_twice_is_named_with_both_lines(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(text)
    assert caught.value.remedy == "keep one of them"


def test_the_same_key_of_two_mappings_is_no_duplicate() -> None:
    text = "a: {x: 1, y: {x: 2}}\nb: {x: 3}\nc: [{x: 1}, {x: 2}]\nx: &x {y: 1}\nd: {<<: *x, y: 2}"
    assert read(text) == parsed_by_dvc(text, WHERE)


@pytest.mark.parametrize(
    ("key", "kind"),
    [("2024", "a number"), ("1.5", "a number"), ("1e-3", "a number"), ("0x10", "a number"),
     ("010", "a number"), ("true", "a boolean"), ("null", "null"), ("~", "null"),
     ("2024-01-01", "a date")],
)  # fmt: skip
def test_a_name_that_is_not_text_is_to_be_quoted(key: str, kind: str) -> None:
    for text in (f"a: 1\n{key}: 2\n", f"a: {{b: 1,\n {key}: 2}}\n"):
        with pytest.raises(InputError) as caught:
            read(text)
        assert caught.value.record == "line 2"
        assert caught.value.problem == f"the key {key} is {kind}, and names are text"
        assert caught.value.remedy == f'put it in quotes: "{key}":'
    assert read(f'"{key}": 2') == {key: 2}


@pytest.mark.parametrize("key", ["on", "yes", "off", "no", "y", "1:30", "=", "2024a"])
def test_a_name_that_only_version_1_1_takes_for_something_else_is_text(key: str) -> None:
    assert read(f"{key}: 1") == {key: 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("? [a, b]\n: 1", "line 1: the key is a list"),
        ("a: &x b\n*x : 1", "line 2: the key is .* an alias"),
        ("{? : 1}", "line 1: the key .empty. is null"),
        ("%YAML 1.1\n---\na: 010\n", "line 1: asks for version 1.1"),
        ("a: 1\nb: !!set {x, y}", r"line 2: the tag !!set"),
        ("a: !!binary aGVsbG8=", r"line 1: the tag !!binary"),
        ("a: !!python/name:os.system", r"line 1: the tag"),
        ("a: 1\n---\nb: 2", "line 2: not valid YAML"),
        ("a: 2024-13-01", "cannot be read"),
        ("a: +_", "cannot be read"),
        ("a: \0", "not valid YAML"),
        ("a: " + "[" * (DEEPEST + 1), f"more than {DEEPEST} levels"),
    ],
)
def test_what_nobody_means_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(text)


def test_version_1_2_may_be_asked_for() -> None:
    assert read("%YAML 1.2\n---\na: 010\n") == {"a": 10}
