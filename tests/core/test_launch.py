"""A stage that becomes several processes, and what is left when one of them fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = '''
import os, signal, sys, time
import torch
from stages.core.parent import die_with_parent
from stages.core.errors import InputError
from stages.core.launch import start_on_ranks
from stages.core.ranks import rank, size, sum_over_ranks
from stages.core.seeding import prepare

def main(what):
    """Add ones over ranks, but for the last rank, which may fail."""
    prepare(0, 1, "cpu", "native")
    os.write(1, f"pid {os.getpid()}\\n".encode())  # at once: ranks write beside each other
    if rank() == size() - 1:
        if what == "input":
            raise InputError("faces.rec", "is cut off", "copy it again", 3)
        if what == "fault":
            raise ZeroDivisionError("of this rank")
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
    total = sum_over_ranks(torch.ones(1)).item()
    if rank() == 0:
        print("sum", total, "of", size(), flush=True)
    if what == "wait":
        die_with_parent(of_dvc=True)
        os.write(1, b"waiting\\n")
        time.sleep(120)

if __name__ == "__main__":
    start_on_ranks(main, "what")
'''


@pytest.fixture
def start(tmp_path):
    (tmp_path / "toy.py").write_text(STAGE)

    def start(what: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "toy", what],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_one_process_and_two(start) -> None:
    one, two = start("sum"), start("sum", NPROC="2")
    out, _ = one.communicate(timeout=120)
    assert out.splitlines()[1:] == ["sum 1.0 of 1"]
    out, err = two.communicate(timeout=120)
    assert (two.returncode, err) == (0, "")
    assert "sum 2.0 of 2" in out
    assert out.count("pid") == 2


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("input", "toy: faces.rec: record 3: is cut off. Remedy: copy it again.\n"),
        ("killed", "toy: process 1 was ended by SIGKILL\n"),
    ],
)
def test_the_first_failure_ends_all_and_is_the_message(start, what: str, said: str) -> None:
    running = start(what, NPROC="2")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert err.endswith(said)
    # That one was killed the other may say itself, unless it is ended before it can.
    assert err == said or (what == "killed" and "one of them is gone" in err)


def test_a_fault_of_the_program_keeps_its_traceback(start) -> None:
    running = start("fault", NPROC="2")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert err.count("Traceback") == 1
    assert err.endswith("[rank1]: ZeroDivisionError: of this rank\n")


def test_several_hosts_need_to_know_each_other(start) -> None:
    running = start("sum", NNODES="2", NODE_RANK="1")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "toy: environment: MASTER_ADDR: is not set. Remedy" in err


def test_a_host_has_a_number_below_theirs(start) -> None:
    running = start("sum", NNODES="2", NODE_RANK="2", MASTER_ADDR="127.0.0.1")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "toy: environment: NODE_RANK: '2' is no host's number" in err


def test_a_host_that_is_left_alone_says_so(start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    hosts = {"NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK_TIMEOUT": "3"}
    running = start("sum", **hosts, NODE_RANK="0")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert f"host 0 of 2 waits for the others at 127.0.0.1, port {port}" in err
    assert "not all hosts came in time" in err
    assert "Traceback" not in err


def test_two_hosts(start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    hosts = {"NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK_TIMEOUT": "100"}
    running = [start("sum", **hosts, NODE_RANK=number) for number in ("0", "1")]
    said = [host.communicate(timeout=120)[0] for host in running]
    assert [host.returncode for host in running] == [0, 0]
    assert "sum 2.0 of 2" in said[0]
    assert said[1].count("\n") == 1  # its process id


def test_a_timeout_is_a_number(start) -> None:
    running = start("sum", NPROC="2", RANK_TIMEOUT="soon")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "toy: environment: RANK_TIMEOUT: 'soon' is no count" in err


def test_ranks_die_with_their_agent(start) -> None:
    running = start("wait", NPROC="2")
    lines = [running.stdout.readline() for _ in range(5)]
    assert lines.count("waiting\n") == 2
    ranks = [int(line.split()[1]) for line in lines if line.startswith("pid")]
    os.kill(running.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in ranks) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in ranks)
    running.communicate()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
