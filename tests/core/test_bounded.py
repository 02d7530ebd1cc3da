"""Reading a file may take twice its size and some, and no more."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from stages.core.bounded import SLACK, bounded, room
from stages.core.errors import InputError


def test_what_asks_for_more_is_refused_and_the_limit_goes_back(tmp_path: Path) -> None:
    file = tmp_path / "small.bin"
    file.write_bytes(b"abc")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    said = "more memory than 2 times its size. Remedy: get it again"
    # Far more than the allocator can hold free from before, which is no growth of the process.
    with pytest.raises(InputError, match=said), bounded(file, "get it again"):
        bytearray(64 * SLACK)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_large_file_may_take_more(tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    with open(file, "wb") as stream:
        stream.truncate(SLACK)
    with bounded(file, "get it again"):
        assert len(bytearray(room(0) + (8 << 20)))
    assert room(SLACK) == 3 * SLACK


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), bounded(tmp_path / "absent", "get it again"):
        raise KeyError("x")
