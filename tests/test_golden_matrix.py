"""`make golden-matrix`: that each run is under the caps it names, and that its counts are read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stages.core.seeding import AVX2, NATIVE, UNCAPPED
from tests import golden_matrix

# A golden test of its own for a run of pytest in a process of its own.
TRIVIAL = """
import pytest

@pytest.mark.golden
def test_that_passes():
    pass
"""


def collected(folder, settings: dict[str, str]) -> str:
    """What pytest prints of one trivial golden test, with this project's conftest."""
    (folder / "test_trivial.py").write_text(TRIVIAL)
    plain = {name: value for name, value in os.environ.items() if name not in (*AVX2, UNCAPPED)}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "golden", "-p", "tests.conftest"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(folder / "test_trivial.py")],
        env=plain | settings, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("capability", "mkl", "threads"), [(NATIVE, NATIVE, 2), ("default", "COMPATIBLE", 1)]
)
def test_a_run_has_the_caps_and_threads_that_it_names(capability, mkl, threads) -> None:
    settings = golden_matrix.environment(capability, mkl, threads)
    found = golden_matrix.run(settings, ["tests/extract/test_golden_hflip_quantisation.py"])
    assert found.passed >= 1
    assert found[1:] == (0, [])


def test_another_cap_than_was_asked_for_is_reported(tmp_path) -> None:
    settings = golden_matrix.environment("avx2", "AVX2", 1)
    text = collected(tmp_path, settings | {"MKL_CBWR": "COMPATIBLE"})
    (line,) = golden_matrix.outcome(text, 0, settings).wrong
    assert "MKL_CBWR COMPATIBLE" in line


@pytest.mark.parametrize(
    ("last", "status", "counts"),
    [
        ("270 passed, 3000 deselected in 9.0s", 0, (270, 0)),
        ("2 failed, 268 passed, 1 error in 90.10s (0:01:30)", 1, (268, 3)),
        ("3138 deselected in 9.0s", 5, (0, 0)),
        ("", 0, (0, 0)),
    ],
)
def test_counts_are_those_of_pytest(last: str, status: int, counts: tuple[int, int]) -> None:
    settings = golden_matrix.environment(NATIVE, "AVX2", 1)
    said = f"computed with: {golden_matrix.computed_with(settings)}"
    found = golden_matrix.outcome(f"{said}\nFAILED a::b\n{last}\n", status, settings)
    assert (found.passed, found.failed) == counts
    assert "FAILED a::b" in found.wrong
    assert (len(found.wrong) > 1) == (counts == (0, 0))


def test_the_matrix_is_eighteen_runs(monkeypatch, capsys) -> None:
    asked = []
    monkeypatch.setattr(golden_matrix, "run", lambda settings, arguments: (
        asked.append(tuple(settings.values())) or golden_matrix.Outcome(7, 0, [])
    ))  # fmt: skip
    assert golden_matrix.main() == 0
    assert len(set(asked)) == 18
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 20
    assert table[-1] == "All runs are green."
    monkeypatch.setattr(golden_matrix, "run", lambda *_: golden_matrix.Outcome(6, 1, ["FAILED x"]))
    assert golden_matrix.main() == 1
    assert "unset COMPATIBLE 2: FAILED x" in capsys.readouterr().out.splitlines()
