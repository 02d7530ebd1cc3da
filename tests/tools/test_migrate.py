"""An old params.yaml is refused with the command that rewrites it, and that command rewrites it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.check.code import ROOT
from stages.check.schema import KEY, SCHEMA, require_schema
from stages.core.errors import InputError
from stages.core.params import read_params
from stages.tools.migrate import main

OLD = "# head\r\n\r\n# dataset\nseed: 0  # of weights\nloss: arcface\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("params.yaml").write_bytes(text.encode())


def test_a_file_without_a_schema_is_refused_until_it_is_migrated() -> None:
    write(OLD)
    with pytest.raises(InputError, match=r"has schema 0.* run python -m stages\.tools\.migrate"):
        require_schema(read_params())
    main()
    require_schema(read_params())


def test_migration_adds_the_first_key_and_changes_nothing_else() -> None:
    write(OLD)
    main()
    text = Path("params.yaml").read_bytes().decode()
    assert text == OLD.replace("seed", f"schema: {SCHEMA}\nseed", 1)
    assert list(read_params()) == [KEY, "seed", "loss"]


def test_migration_of_the_parameters_gives_the_committed_file() -> None:
    committed = (ROOT / "params.yaml").read_text()
    line = next(line for line in committed.splitlines(keepends=True) if line.startswith(KEY))
    write(committed.replace(line, ""))
    main()
    assert Path("params.yaml").read_text() == committed.replace(line, f"{KEY}: {SCHEMA}\n")


def test_migration_keeps_the_ends_of_lines() -> None:
    Path("params.yaml").write_bytes(b"seed: 0\r\nloss: arcface\r\n")
    main()
    assert Path("params.yaml").read_bytes() == b"schema: 1\r\nseed: 0\r\nloss: arcface\r\n"


def test_a_second_migration_does_nothing(capsys) -> None:
    write(OLD)
    main()
    text = Path("params.yaml").read_bytes()
    main()
    assert Path("params.yaml").read_bytes() == text
    assert capsys.readouterr().out.endswith(f"has schema {SCHEMA} already\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"schema: {SCHEMA + 1}\nseed: 0\n", "schema: schema 2 is newer .*Remedy: update"),
        ("schema: one\n", "schema: input should be a whole number, not 'one'"),
        ("schema: true\n", "schema: input should be a whole number, not True"),
        ("schema: 0\n", "schema: input should be a whole number, not 0"),
        ('{"seed": 0}', 'a mapping in braces.*insert "schema": 1'),
        ("seed: [\n", "not valid YAML"),
        ("? seed\n: 0\n", "has a form that this command does not know.*insert `schema: 1`"),
    ],
)
def test_what_cannot_be_migrated_stays_as_it_is(text, said) -> None:
    write(text)
    with pytest.raises(InputError, match=said):
        main()
    assert Path("params.yaml").read_text() == text
