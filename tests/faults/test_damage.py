"""A sample of the cases that `make faults` runs, and what those cases are worth."""

from __future__ import annotations

import pickle
import re
from functools import partial
from pathlib import Path
from random import Random

import pytest

from faults._cases import BOMBS, CANARY, KINDS, Case, hostile_pickles
from faults._worker import cases_of, inside, run
from faults.formats import FORMATS
from stages.core.errors import InputError

SAMPLE = 3  # cases of each format


@pytest.fixture(params=FORMATS)
def format(request):
    return FORMATS[request.param]


@pytest.fixture
def sample(format, tmp_path: Path) -> tuple[Path, Path]:
    """Folder of a valid sample, and the file within that is to be damaged."""
    folder = tmp_path / "sample"
    folder.mkdir()
    return folder, format.make(folder).relative_to(folder)


def drawn(format, sample: tuple[Path, Path]) -> list[Case]:
    with inside(sample[0]):
        return cases_of(format, sample[1], Random(f"0 {format.name}"))


def test_a_sample_is_refused_or_harmless(format, sample, tmp_path: Path) -> None:
    folder, file = sample
    cases = [case for case in drawn(format, sample) if case.kind != BOMBS]
    for number, case in enumerate(Random(1).sample(cases, SAMPLE)):
        with inside(folder):
            whole = format.read()
        result = run(format, case, folder, file, tmp_path / str(number), whole)
        assert result["wrong"] == [], (case.kind, case.name)


def test_every_format_has_every_kind_and_the_seed_decides(format, sample) -> None:
    cases = drawn(format, sample)
    assert {case.kind for case in cases} == set(KINDS)
    assert [case.name for case in cases] == [case.name for case in drawn(format, sample)]


def test_hostile_pickles_do_execute_where_nobody_is_careful(tmp_path: Path) -> None:
    with inside(tmp_path):
        for content in hostile_pickles():
            pickle.loads(content)
            assert CANARY.exists()
            CANARY.unlink()


def test_faults_are_found(tmp_path: Path) -> None:
    """A reader that executes, one that sees nothing, and one that fails in its own way."""
    format = FORMATS["feature pickle"]
    sample = tmp_path / "sample"
    sample.mkdir()
    file = format.make(sample).relative_to(sample)
    content = hostile_pickles()[0]
    case = Case(KINDS[6], "hostile", lambda path: path.write_bytes(content))

    def wrong(read) -> str:
        place = tmp_path / read.__name__
        spoiled = partial(type(format), format.name, format.make)
        made = spoiled(read, format.cases)
        return " ".join(run(made, case, sample, file, place, "whole")["wrong"])

    def executes() -> str:
        return str(pickle.loads(file.read_bytes()))

    def sees_nothing() -> str:
        return "whole"

    def sees_less() -> str:
        return "another"

    def fails() -> str:
        raise KeyError("x")

    def names_nothing() -> str:
        raise InputError("/elsewhere", "is wrong", "pray")

    def takes_memory() -> str:
        bytearray(1 << 30)
        return "whole"

    assert "was executed" in wrong(executes)
    assert "passed unseen" in wrong(sees_nothing)
    assert "other contents" in wrong(sees_less)
    assert "no InputError" in wrong(fails)
    told = wrong(names_nothing)
    assert "names the file" in told
    assert "remedy 'pray'" in told
    assert re.search(r"took \d{3,} MiB", wrong(takes_memory))
