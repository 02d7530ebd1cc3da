from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from stages.core.files import StorageError, atomic_file, atomic_folder


def test_file_replaces_its_target_only_on_success(tmp_path) -> None:
    target = tmp_path / "a.txt"
    with atomic_file(target) as scratch:
        scratch.write_text("one")
    with pytest.raises(RuntimeError), atomic_file(target) as scratch:
        scratch.write_text("two")
        raise RuntimeError
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_replaces_its_target_only_on_success(tmp_path) -> None:
    target = tmp_path / "set"
    with atomic_folder(target) as scratch:
        (scratch / "old").touch()
    with atomic_folder(target) as scratch:
        (scratch / "new").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as scratch:
        (scratch / "half").touch()
        raise KeyboardInterrupt
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_a_killed_run_are_removed(tmp_path) -> None:
    dead = 2**22 + 1  # above the highest process id
    (tmp_path / f".set.{dead}.tmp").mkdir()
    with atomic_folder(tmp_path / "set"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_full_disk_is_named_by_its_output(tmp_path, monkeypatch, write) -> None:
    """Also where the writer, in another language, says nothing of the disk."""
    target = tmp_path / "out"
    said = f"{target}: no space left.*Remedy: free"
    with pytest.raises(StorageError, match=said), write(target):
        raise OSError(errno.ENOSPC, "")
    with pytest.raises(RuntimeError), write(target):
        raise RuntimeError("of the writer")
    full = SimpleNamespace(f_bavail=0)
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    with pytest.raises(StorageError, match=said), write(target):
        raise RuntimeError("of the writer")
    assert list(tmp_path.iterdir()) == []


def test_a_file_within_a_folder_is_named_by_the_folder(tmp_path) -> None:
    target = tmp_path / "set"
    with (
        pytest.raises(StorageError, match=f"^{target}: read-only"),
        atomic_folder(target) as folder,
        atomic_file(folder / "index"),
    ):
        raise OSError(errno.EROFS, "")


def test_an_input_that_cannot_be_read_is_not_taken_for_the_output(tmp_path) -> None:
    with pytest.raises(PermissionError), atomic_file(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "", "/somewhere/else/input")
