"""Whatever part of dvc.lock a kill leaves, DVC starts again."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
import yaml

from stages.check.mend import GUARDS, LOCK_FILE, RUNNING, main

STAGES = {
    name: {
        "cmd": f"python -m {name}",
        "deps": [{"path": "stages/x.py", "hash": "md5", "md5": "cd" * 16, "size": 12}],
        "params": {"params.yaml": {"seed": 0, "datasets.orl": {"root": "data"}}},
        "outs": [{"path": name, "hash": "md5", "md5": f"{'ab' * 16}.dir", "size": 3, "nfiles": 1}],
    }
    for name in ("fetch", "unpack@orl", "train")
}
WHOLE = yaml.safe_dump({"schema": "2.0", "stages": STAGES}, sort_keys=False)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)


def test_entries_before_the_tear_are_kept() -> None:
    for cut in range(len(WHOLE) + 1):
        LOCK_FILE.write_text(WHOLE[:cut])
        main()
        entries = WHOLE[:cut].count("  cmd")
        if not LOCK_FILE.exists():
            assert entries < 2
            continue
        content = yaml.safe_load(LOCK_FILE.read_text())
        names = list(content.get("stages", {}))
        assert names == list(STAGES)[: len(names)]
        assert all(content["stages"][name] == STAGES[name] for name in names[:-1])
        assert len(names) >= entries - 1


def test_what_is_whole_is_left_as_it_is() -> None:
    LOCK_FILE.write_text(WHOLE)
    RUNNING.write_text('{"write": {}}')
    main()
    assert LOCK_FILE.read_text() == WHOLE
    assert RUNNING.exists()


def test_a_torn_rwlock_goes() -> None:
    RUNNING.write_text('{"write": {"a')
    main()
    assert not RUNNING.exists()


def test_nothing_is_touched_while_dvc_writes() -> None:
    LOCK_FILE.write_text("")
    RUNNING.write_text("")
    with open(GUARDS[0], "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        main()
    assert LOCK_FILE.exists()
    assert RUNNING.exists()


def test_without_dvc_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert capsys.readouterr().out == ""
