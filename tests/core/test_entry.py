"""What a stage says at its end: one line for what a person can mend, a traceback for the rest."""

from __future__ import annotations

import errno
import sys

import pytest

from stages.core.entry import start
from stages.core.errors import LONGEST, InputError
from stages.core.seeding import prepare


def said(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> str:
    def main() -> None:
        """Fail."""
        raise fault

    monkeypatch.setattr(sys, "argv", ["stage"])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr("stages.core.entry.keep_freed_memory", lambda: None)  # nor do the tests
    with pytest.raises(SystemExit) as ended:
        start(main)
    return str(ended.value)


def test_an_input_error_is_one_line(monkeypatch) -> None:
    line = said(monkeypatch, InputError("a.rec", "cut\nshort", "get it again", 3))
    assert line.endswith("a.rec: record 3: cut short. Remedy: get it again.")
    assert "\n" not in line


def test_a_problem_as_long_as_a_file_is_not_told_in_full() -> None:
    error = InputError("a" * 10**6, "x" * 10**6, "get it again", "y" * 10**6)
    assert len(str(error)) < 4 * LONGEST


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_one_line(monkeypatch, number: int) -> None:
    assert "x.csv: " in said(monkeypatch, OSError(number, "", "x.csv"))
    assert "Remedy: " in said(monkeypatch, OSError(number, ""))


def test_a_missing_output_of_another_stage_is_one_line(monkeypatch) -> None:
    line = said(
        monkeypatch, FileNotFoundError(errno.ENOENT, "", "models/train/weights.safetensors")
    )
    assert "models/train/weights.safetensors: no such file" in line
    assert "Remedy: `dvc repro` makes" in line


def test_other_faults_are_this_programs(monkeypatch) -> None:
    with pytest.raises(FileNotFoundError):
        said(monkeypatch, FileNotFoundError(errno.ENOENT, "", "x.csv"))


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="device: this torch finds no CUDA device"):
        prepare(0, 1, "cuda", "native")
