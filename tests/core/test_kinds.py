"""A number, true or false, and text are three things, in every section of params.yaml."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from dvc.utils.hydra import apply_overrides

from stages.check.validate import validate
from stages.core.errors import InputError
from stages.core.params import Section, parse, read_params

ROOT = Path(__file__).resolve().parent.parent.parent


class Inner(Section):
    share: float = 0.5


class Every(Section):
    """A field of each form that sections have."""

    whole: int = 1
    share: float = 0.5
    maybe: float | None = None
    flag: bool = False
    name: str = "x"
    nameless: str | None = None
    word: Literal["a", "b"] = "a"
    depth: Literal[1, 2] = 1
    sides: tuple[int, ...] = ()
    pair: tuple[float, str] = (0.5, "x")
    names: list[str] = []
    shares: dict[str, float] = {}
    either: float | Literal["auto"] = "auto"
    anything: dict[str, Any] = {}
    inner: Inner = Inner()
    inners: dict[str, Inner] = {}


@pytest.mark.parametrize(
    "values",
    [
        {"whole": 3}, {"whole": 3.0}, {"share": 1}, {"share": 1e-3}, {"maybe": None}, {"maybe": 2},
        {"flag": True}, {"name": "2024"}, {"nameless": None}, {"word": "b"}, {"depth": 2},
        {"sides": [28, 14]}, {"sides": []}, {"pair": [1, "1"]}, {"names": ["true", "1"]},
        {"shares": {"a": 1}}, {"either": 1}, {"either": "auto"},
        {"anything": {"a": True, "b": "1", "c": 1}}, {"inners": {"a": {"share": 1}}},
    ],
)  # fmt: skip
def test_what_is_of_its_kind_is_taken(values: dict[str, Any]) -> None:
    (key,) = values
    read = getattr(parse(Every, values, "section"), key)
    if not key.startswith("inner"):
        assert (list(read) if isinstance(read, tuple) else read) == values[key]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"whole": True}, r"section\.whole: input should be a valid integer, not true"),
        ({"whole": "3"}, r"section\.whole: input should be a valid integer, not '3'"),
        ({"share": True}, r"section\.share: input should be a number, not true"),
        ({"share": False}, r"section\.share: input should be a number, not false"),
        ({"share": "0.5"}, r"section\.share: input should be a number, not '0\.5'"),
        ({"share": ".5e3"}, r"section\.share: input should be a number"),
        ({"maybe": True}, r"section\.maybe: input should be a number, not true"),
        ({"maybe": "1"}, r"section\.maybe: input should be a number, not '1'"),
        ({"flag": 1}, r"section\.flag: input should be true or false, not 1"),
        ({"flag": 0.0}, r"section\.flag: input should be true or false, not 0\.0"),
        ({"flag": "yes"}, r"section\.flag: input should be true or false, not 'yes'"),
        ({"flag": "True"}, r"section\.flag: input should be true or false, not 'True'"),
        ({"name": 2024}, r'section\.name: input should be text, not 2024\. .*"2024"'),
        ({"name": True}, r"section\.name: input should be text, not true"),
        ({"name": 1.5}, r"section\.name: input should be text, not 1\.5"),
        ({"name": b"x"}, r"section\.name: input should be text, not b'x'"),
        ({"name": date(2024, 1, 1)}, r'input should be text, not 2024-01-01\. .*"2024-01-01"'),
        ({"nameless": 7}, r"section\.nameless: input should be text, not 7"),
        ({"word": True}, r"section\.word: input should be 'a' or 'b', not True"),
        ({"depth": True}, r"section\.depth: input should be a valid integer, not true"),
        ({"depth": "1"}, r"section\.depth: input should be a valid integer, not '1'"),
        ({"sides": [28, True]}, r"section\.sides: item 2 should be a valid integer, not true"),
        ({"sides": ["28"]}, r"section\.sides: item 1 should be a valid integer, not '28'"),
        ({"pair": [True, "x"]}, r"section\.pair: item 1 should be a number, not true"),
        ({"pair": [1, 2]}, r"section\.pair: item 2 should be text, not 2"),
        ({"names": ["a", 2024]}, r"section\.names: item 2 should be text, not 2024"),
        ({"shares": {"a": True}}, r"section\.shares: `a` should be a number, not true"),
        ({"either": True}, r"section\.either: input should be a number, not true"),
        ({"either": "1"}, r"section\.either: input should be a number, not '1'"),
        ({"inner": {"share": True}}, r"section\.inner\.share: input should be a number"),
        ({"inners": {"a": {"share": "1"}}}, r"section\.inners\.a\.share: .*not '1'"),
    ],
)
def test_another_kind_is_refused_with_key_and_value(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(Every, values, "section")


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    return [(path, value)]


def changed(params: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    spoilt = copy.deepcopy(params)
    part = spoilt
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return spoilt


PARAMS = read_params(ROOT / "params.yaml")
VALUES = {  # one of each name
    path[-1]: (path, value)
    for path, value in leaves(PARAMS)
    if isinstance(value, int | float | str)
}


def test_every_number_flag_and_name_of_params_is_held_to_its_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each in turn: a flag for a number, a number for a flag or a name."""
    monkeypatch.chdir(ROOT)
    validate(PARAMS)
    for path, value in VALUES.values():
        other = 7 if isinstance(value, bool | str) else True
        with pytest.raises(InputError, match=path[-1]):
            validate(changed(PARAMS, path, other))
            pytest.fail(f"{'.'.join(path)}: {other!r} was taken for {value!r}")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("schedules.orl.augment.flip=true", r"augment\.flip: input should be a number, not true"),
        ("schedules.orl.augment.flip=010", r"augment\.flip: .* not '010'.*leading zeros"),
        ("schedules.orl.lr='0.1'", r"schedules\.orl\.lr: .* not '0\.1'"),
        ("losses.arcface.easy=1", r"losses\.arcface\.easy: .* true or false, not 1"),
        ("losses.arcface.easy=yes", r"losses\.arcface\.easy: .* true or false, not 'yes'"),
        ("dataset=2024", r'dataset: input should be text, not 2024\. .*"2024"'),
    ],
)
def test_what_dvc_sets_is_held_to_its_kind_too(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        validate(overridden(tmp_path, override))


@pytest.mark.parametrize(
    ("override", "value"),
    [("schedules.orl.lr=1e-5", 1e-5), ("schedules.orl.lr=1", 1), ("losses.magface=null", None),
     ("losses.arcface.easy=true", True), ("train.initial=null", None),
     ("datasets.orl.root='2024'", "2024")],
)  # fmt: skip
def test_what_dvc_sets_is_read_as_it_was_meant(
    tmp_path: Path, override: str, value: object
) -> None:
    found: Any = overridden(tmp_path, override)
    for key in override.partition("=")[0].split("."):
        found = found[key]
    assert type(found) is type(value)
    assert found == value


def overridden(folder: Path, override: str) -> dict[str, Any]:
    """params.yaml after `dvc exp run -S override`."""
    file = folder / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text())
    apply_overrides(file, [override])
    return read_params(file)
