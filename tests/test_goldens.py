"""Every file of the golden folder is read by a test, or named as not yet covered."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.goldens import COVERED, FOLDER, NOT_YET_COVERED

TESTS = Path(__file__).parent
LARGEST = 300_000  # bytes of a golden file kept here
OURS = TESTS / "golden"


def _import_golden_tests() -> None:
    for file in TESTS.rglob("test_*.py"):
        if "from tests.goldens import golden" in file.read_text():
            importlib.import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))


_import_golden_tests()
READ = {file for kind in COVERED for file in FOLDER.glob(kind)}
# A reader that takes a folder reads the files beside the one its pattern names.
READ |= {
    beside
    for file in READ
    if file.parent.parent.parent == FOLDER
    for beside in file.parent.iterdir()
}
LATER = {file for kind in NOT_YET_COVERED for file in FOLDER.glob(kind)}
ALL = sorted(f for f in FOLDER.rglob("*") if f.is_file() and not f.name.startswith("INDEX"))


@pytest.mark.golden
@pytest.mark.parametrize("file", ALL, ids=[str(file.relative_to(FOLDER)) for file in ALL])
def test_every_file_is_of_a_known_kind(file: Path) -> None:
    assert file in READ | LATER
    assert not (file in READ and file in LATER), "covered by now: take its kind off the list"


def test_kept_files_are_small() -> None:
    large = [f.name for f in OURS.rglob("*") if f.is_file() and f.stat().st_size > LARGEST]
    assert large == []
