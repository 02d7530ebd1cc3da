"""What a killed process leaves half-written goes when the next stage starts, whichever it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from stages.check.code import ROOT
from stages.core.files import atomic_folder
from stages.core.scratch import NAME, scratch_path, sweep, sweep_workspace, training_state

DEAD = 2**22 + 1  # above the highest process id
OUTPUTS = {
    out if isinstance(out, str) else next(iter(out))
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    for kind in ("outs", "metrics", "plots")
    for out in stage.get("do", stage).get(kind, [])
}


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def leave(target: str | Path, writer: object = DEAD) -> Path:
    """A scratch folder of a process, with a file in it."""
    path = Path(target).with_name(f".{Path(target).name}.{writer}.tmp")
    path.mkdir(parents=True)
    (path / "half").touch()
    return path


def host() -> str:
    """Of this process: machine, and namespace of process ids."""
    ids = os.readlink("/proc/self/ns/pid")
    return sha256(f"{os.uname().nodename} {ids}".encode()).hexdigest()[:8]


def started(pid: int) -> str:
    """Field 22 of /proc/PID/stat; the command's name, field 2, may hold blanks."""
    after = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return after[22 - 3]


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_a_leftover_of_any_output_of_the_pipeline_goes(output: str) -> None:
    left = leave(re.sub(r"\$\{[^}]*\}", "x", output))
    sweep_workspace()
    assert not left.exists()


@pytest.mark.parametrize("target", ["models/m/heads/scf", "data/features/s/trunk"])
def test_a_leftover_at_the_deepest_place_goes(target: str) -> None:
    left = leave(target)
    sweep_workspace()
    assert not left.exists()


def test_a_leftover_beside_checkpoints_goes() -> None:
    left = leave(training_state() / "distill/14/0123abcd"), leave(training_state() / "train/01/s")
    sweep_workspace()
    assert not any(path.exists() for path in left)


def test_a_file_goes_as_a_folder_does_and_a_link_leaves_its_target() -> None:
    Path("kept").mkdir()
    Path("data").mkdir()
    file, link = Path(f"data/.a.csv.{DEAD}.tmp"), Path(f"data/.b.{DEAD}.tmp")
    file.touch()
    link.symlink_to(Path("kept").absolute())
    sweep_workspace()
    assert sorted(os.listdir("data")) == []
    assert Path("kept").exists()


def test_what_a_live_process_writes_stays() -> None:
    by_id, first = leave("data/a", os.getpid()), leave("data/b", f"1-{started(1)}-{host()}")
    own = scratch_path(Path("data/c"))
    own.mkdir()
    sweep_workspace()
    assert all(path.exists() for path in (by_id, first, own))


def test_a_process_that_has_the_id_of_the_dead_one_is_not_taken_for_it() -> None:
    recycled = leave("data/a", f"{os.getpid()}-{int(started(os.getpid())) - 1}-{host()}")
    own = leave("data/a", f"{os.getpid()}-{started(os.getpid())}-{host()}")
    assert own == scratch_path(Path("data/a"))
    sweep_workspace()
    assert own.exists()
    assert not recycled.exists()


def test_a_process_that_nobody_waits_for_is_dead() -> None:
    """A container whose first process reaps no orphan keeps their ids for good."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left = leave("data/a", child.pid)
    sweep_workspace()
    assert left.exists()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    sweep_workspace()
    assert not left.exists()
    child.communicate()


def test_what_the_user_keeps_is_not_touched() -> None:
    inside = leave("data/raw/mine/photo")
    other = [Path("data", name) for name in (".a.tmp", f"a.{DEAD}.tmp", f".a.{DEAD}", ".a.x1.tmp")]
    for path in other:
        path.mkdir()
    sweep_workspace()
    assert inside.exists()
    assert all(path.exists() for path in other)


def test_what_another_host_writes_stays_until_it_has_not_changed_for_a_day(monkeypatch) -> None:
    """A login node, or a second container, that shares the file system with a training."""
    left = leave("data/a", f"{DEAD}-5-{'0' * 8}")
    sweep_workspace()
    assert left.exists()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 24 * 3600 - 60)
    sweep_workspace()
    assert left.exists()
    monkeypatch.setattr(time, "time", lambda: now + 24 * 3600 + 60)
    sweep_workspace()
    assert not left.exists()


def test_a_write_sweeps_its_own_target_alone_wherever_it_is() -> None:
    own, other = leave("elsewhere/a"), leave("elsewhere/b")
    with atomic_folder("elsewhere/a"):
        pass
    assert not own.exists()
    assert other.exists()
    sweep(Path("elsewhere"))
    assert not other.exists()


def test_the_next_start_sweeps_though_it_is_of_another_stage(tmp_path: Path) -> None:
    """As `data/raw/.orl.PID.tmp`, of a `fetch` that never runs again."""
    left = leave("data/raw/orl")
    command = [sys.executable, "-m", "stages.check.mend"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert not left.exists()


def test_a_name_tells_target_and_writer() -> None:
    """Names with dots, dashes and digits included."""
    for name in ("a", "a.json", "a-1.2.tmp", ".hidden", "orl 14"):
        path = scratch_path(Path("x") / name)
        assert path.parent == Path("x")
        target, *writer = NAME.fullmatch(path.name).groups()
        assert (target, writer) == (name, [str(os.getpid()), started(os.getpid()), host()])
