from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import pytest
from pydantic import Field

from stages.core.errors import InputError
from stages.core.params import STAGES, Section, choices, choose, declared_params, parse, read_params


class Numbers(Section):
    count: int
    share: float = 0.5


def test_unknown_key_is_refused_and_the_valid_ones_are_named() -> None:
    with pytest.raises(InputError, match=r"train\.cuont: unknown key.*count, share"):
        parse(Numbers, {"count": 1, "cuont": 2}, "train")


def test_wrong_type_names_the_key_and_the_value() -> None:
    with pytest.raises(InputError, match=r"params\.yaml: train\.count: .*integer.*'many'"):
        parse(Numbers, {"count": "many"}, "train")


def test_missing_section_names_its_keys() -> None:
    with pytest.raises(InputError, match=r"train: no such section.*count, share"):
        parse(Numbers, None, "train")


def test_unknown_choice_lists_the_valid_ones() -> None:
    with pytest.raises(InputError, match="'nonsense' is none of .*arcface.*magface"):
        choose("losses", "nonsense", "loss")


def test_choices_are_the_files_without_underscore() -> None:
    assert "arcface" in choices("losses")
    assert not any(name.startswith("_") for name in choices("losses"))


def test_broken_yaml_names_the_line(tmp_path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(InputError, match="line 3: not valid YAML"):
        read_params(file)


@pytest.mark.parametrize("library", ["losses", "networks", "heads", "datasets", "protocols"])
def test_params_of_every_choice_are_read_without_importing_its_file(library: str) -> None:
    for name in choices(library):
        assert issubclass(declared_params(STAGES / library / f"{name}.py"), Section)


def test_reading_declared_params_imports_no_torch() -> None:
    code = (
        "import sys; from stages.core.params import *; "
        "[declared_params(STAGES / 'losses' / f'{n}.py') for n in choices('losses')]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_hundred_thousand_brackets_are_refused(tmp_path) -> None:
    """PyYAML calls itself for each, until the process is gone."""
    file = tmp_path / "params.yaml"
    file.write_text("a: " + "[" * 10**5)
    with pytest.raises(InputError, match=r"line 1: more than \d+ levels deep"):
        read_params(file)


def test_a_kilobyte_that_fills_the_memory_is_refused(tmp_path) -> None:
    """Merge keys that merge merge keys: 10**11 entries."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    file = tmp_path / "params.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(InputError, match="memory"):
        read_params(file)


def test_a_value_as_large_as_the_world_is_told_in_brief(tmp_path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 12)]
    file = tmp_path / "params.yaml"
    file.write_text("\n".join([*lines, "wrong: *a11"]))
    with pytest.raises(InputError) as caught:
        parse(Numbers, {"count": read_params(file)["wrong"]}, "train")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\tlr: 0.1", r"line 2: not valid YAML \(.*a tab character"),
        (b"a: *b", r"line 2: not valid YAML \(.*undefined alias"),
        ("a: \u00e9".encode("latin1"), "line 2: is not UTF-8 text .*save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named_by_line_and_reason(tmp_path, line: bytes, why: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: 0\n" + line + b"\n")
    with pytest.raises(InputError, match=why):
        read_params(path)


def test_a_key_that_is_not_a_name_is_told_what_names_are() -> None:
    class Named(Section):
        sets: dict[Annotated[str, Field(pattern="^[a-z]+$")], int]

    with pytest.raises(InputError, match="sets.a b: is not a name. Remedy: take letters"):
        parse(Named, {"sets": {"a b": 1}}, "")
