"""Two hosts on one machine train one trunk, lose each other, and go on: `make hosts`.

    sudo make hosts

Two network namespaces, joined by a cable (a veth pair), each with a clone of its own of this
repository and of the aligned faces. They train the trunk undisturbed; then with every process of
the second host killed; then with the cable pulled. Each time the first host must end by itself with
an error, and the same commands, given again, must end with the bytes of the undisturbed training.
They train in float64, in which the order of sums does not show, so that the result is that of one
process too. Linux, root and iproute2 are needed; minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.test_pipeline import CUT_DOWN, Clone, environment

CHANGES = CUT_DOWN | {"schedules.orl.epochs": 2, "train.checkpoint_steps": 1}
ADDRESSES = ("10.213.7.1", "10.213.7.2")
CABLE = "cable"  # name of its end within each host
PATIENCE_S = 20  # until a silent host counts as gone
LIMIT_S = 600  # for any one thing that is waited for
STATES = ".dvc/tmp/checkpoints/train/*/state.pt"
WEIGHTS = ("weights.safetensors", "classifier.safetensors")
BOUND = 1e-9  # of a tensor's norm, between one process and two; as in tests/core/test_fit_ranks.py
SEEDED = "torch.manual_seed(seed)"


class Host:
    """A namespace with its own end of the cable, and a clone of the repository."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder
        self.namespace = f"faceline-{os.getpid()}-{number}"

    def inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *command]

    def train(self) -> subprocess.Popen:
        """The first host's training is DVC's, which keeps its outputs; the second only helps."""
        stage = [sys.executable, "-m", "stages.train"]
        dvc = ["dvc", "repro", "--single-item", "--force", "train"]
        hosts = {"NNODES": "2", "NODE_RANK": str(self.number), "MASTER_ADDR": ADDRESSES[0]}
        hosts |= {"GLOO_SOCKET_IFNAME": CABLE, "RANK_TIMEOUT": str(PATIENCE_S)}
        with open(self.log, "w") as log:
            return subprocess.Popen(
                self.inside(*(stage if self.number else dvc)),
                cwd=self.folder,
                env=environment() | hosts,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def set_cable(self, state: str) -> None:
        """The cable is `up` or `down`."""
        ip("-n", self.namespace, "link", "set", CABLE, state)


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ip {' '.join(arguments)}: {done.stderr.strip()} (root and iproute2 are needed)")


def connect(hosts: list[Host]) -> None:
    for host in hosts:
        ip("netns", "add", host.namespace)
        ip("-n", host.namespace, "link", "set", "lo", "up")
    first, second = (host.namespace for host in hosts)
    peer = ("peer", "name", CABLE, "netns", second)
    ip("link", "add", CABLE, "netns", first, "type", "veth", *peer)
    for host, address in zip(hosts, ADDRESSES, strict=True):
        ip("-n", host.namespace, "address", "add", f"{address}/24", "dev", CABLE)
        host.set_cable("up")


def disconnect(hosts: list[Host]) -> None:
    for host in hosts:
        subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)


def trained(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "models/train" / name).read_bytes() for name in WEIGHTS}


def train(hosts: list[Host], disturb: Callable[[list[subprocess.Popen]], None] | None) -> str:
    """Train on both, until the end or until `disturb` makes both end; what the first one said."""
    running = [host.train() for host in hosts]
    try:
        if disturb:
            wait_for(lambda: list(hosts[0].folder.glob(STATES)) or running[0].poll() is not None)
            disturb(running)
        codes = [process.wait(LIMIT_S) for process in running]
    finally:
        for process in running:
            kill(process)
    said = hosts[0].log.read_text()
    if disturb:
        assert all(codes), said
    else:
        assert codes == [0, 0], said + hosts[1].log.read_text()
    return said


def kill(process: subprocess.Popen) -> None:
    """The process, and what it started in its session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def difference(one: Path, other: Path) -> float:
    """Largest over tensors of |a - b| / max(1, |b|): some are 0 but for rounding."""
    pairs = [(load_file(one / name), load_file(other / name)) for name in WEIGHTS]
    tensors = [(a[k].double(), b[k].double()) for a, b in pairs for k in b]
    return max(((a - b).norm() / b.norm().clamp_min(1)).item() for a, b in tensors)


def train_in_float64(clone: Clone) -> None:
    file = clone.folder / "stages/core/seeding.py"
    before = file.read_text()
    assert SEEDED in before
    file.write_text(before.replace(SEEDED, f"{SEEDED}; torch.set_default_dtype(torch.float64)"))


def resumes_alike(hosts: list[Host], what: str, expected: dict[str, bytes], disturb, mend) -> None:
    start = time.monotonic()
    said = train(hosts, disturb)
    print(f"{what}: both hosts ended after {time.monotonic() - start:.0f} s; the first one said")
    print("    " + next(line for line in said.splitlines() if "one of them is gone" in line))
    mend()
    said = train(hosts, None)
    resumed = [line for line in said.splitlines() if line.startswith("train: resumes")]
    assert resumed, said
    assert trained(hosts[0].folder) == expected, "other bytes than without the fault"
    print(f"{what}: {resumed[0]}; ends with the same bytes as undisturbed")


def check(folder: Path) -> None:
    clone = Clone(folder / "one", CHANGES)
    train_in_float64(clone)
    clone.run("dvc", "repro", "align@orl")
    for name in ("first", "second"):
        shutil.copytree(clone.folder, folder / name)
    clone.run("dvc", "repro", "--single-item", "train")
    hosts = [Host(number, folder / name) for number, name in enumerate(("first", "second"))]
    try:
        connect(hosts)
        train(hosts, None)
        expected = trained(hosts[0].folder)
        apart = difference(hosts[0].folder / "models/train", clone.folder / "models/train")
        assert not (hosts[1].folder / "models/train").exists()
        print(f"two hosts against one process: tensors differ by at most {apart:.0e} of their norm")
        assert apart <= BOUND
        resumes_alike(
            hosts, "second host killed", expected, lambda running: kill(running[1]), lambda: None
        )
        resumes_alike(
            hosts,
            "cable pulled",
            expected,
            lambda running: hosts[1].set_cable("down"),
            lambda: hosts[1].set_cable("up"),
        )
    finally:
        disconnect(hosts)


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # namespaces go away then too
    with tempfile.TemporaryDirectory(prefix="faceline-hosts-") as scratch:
        check(Path(scratch))
