from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

from benchmarks import stale
from stages.core.seeding import AVX2, hold_to_avx2
from tests.goldens import ABSENT, FOLDER, NOT_YET_COVERED

hold_to_avx2()  # as the stages do, so that what tests compute is what stages compute

# The same examples every time, however slow the machine; `--hypothesis-profile=search` draws new
# ones, many more of them.
settings.register_profile("steady", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("steady")


def pytest_collection_modifyitems(config, items: list[pytest.Item]) -> None:
    """A golden kind without a file in the folder is no test, rather than a skipped one."""
    absent = [item for item in items if ABSENT in _parameters(item)]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if ABSENT not in _parameters(item)]


def _parameters(item: pytest.Item) -> list[object]:
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [value for value in values if isinstance(value, str)]


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Name what measurements are older than the code; of golden tests, what computed them and the
    files that no test reads yet."""
    if config.args_source == config.ArgsSource.TESTPATHS:  # all tests, not some of them
        say_what_is_stale(terminalreporter)
    if config.option.markexpr != "golden":
        return
    caps = [f"{name} {os.environ.get(name, 'unset')}" for name in AVX2]
    terminalreporter.section("golden files")
    terminalreporter.write_line(f"folder: {FOLDER}")
    found = ", ".join([*caps, f"threads {torch.get_num_threads()}"])
    terminalreporter.write_line(f"computed with: {found}")
    files = sorted({file for kind in NOT_YET_COVERED for file in FOLDER.glob(kind)})
    terminalreporter.section("golden files of kinds not yet covered")
    for file in files:
        terminalreporter.write_line(str(file.relative_to(FOLDER)))


def say_what_is_stale(terminalreporter) -> None:
    """It fails no test: only whoever has the machine for it can measure again."""
    if older := [*stale.lines()]:
        terminalreporter.section("measurements that are older than the code")
        for line in older:
            terminalreporter.write_line(line)
