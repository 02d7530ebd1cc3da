from __future__ import annotations

import pytest

from stages.core.files import atomic_file, atomic_folder


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
