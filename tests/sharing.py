"""Results go through a DVC remote: pushed here, pulled by a fresh clone, where nothing runs again.

    python -m tests.sharing folder                 a folder on this machine
    python -m tests.sharing ssh                    an OpenSSH server on this machine, started for it
    python -m tests.sharing s3                     a server of S3's protocol (moto), likewise
    python -m tests.sharing ssh://me@host/faces    any remote that DVC knows

docs/sharing.md has the same commands for people, and the packages that each kind of remote needs.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.test_pipeline import CUT_DOWN, Clone, ran

LOCALHOST = "127.0.0.1"
STARTED_WITHIN_S = 60
BUCKET = "faces"
SSHD = """
Port {port}
ListenAddress {host}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
PasswordAuthentication no
UsePAM no
Subsystem sftp internal-sftp
"""


def share(clone: Clone, folder: Path, url: str, **options: str) -> Clone:
    """Push the results of `clone` to `url`; a fresh clone in `folder` pulls them and is done.

    Args:
        clone: all of whose stages have run, committed.
        url: of the remote.
        options: of the remote, as `dvc remote modify --local` wants them.
    """
    add_remote(clone, url, options)
    clone.run("dvc", "push", "--run-cache")
    clone.run("git", "clone", "-q", str(clone.folder), str(folder))
    fresh = Clone.__new__(Clone)
    fresh.folder = folder
    add_remote(fresh, url, options)
    assert not list(folder.rglob("*.npy"))
    fresh.run("dvc", "pull", "--run-cache")
    assert fresh.stale() == set()
    assert ran(fresh.run("dvc", "repro")) == set()
    assert fresh.hashes() == clone.hashes()
    assert fresh.run("git", "status", "--porcelain") == ""
    return fresh


def add_remote(clone: Clone, url: str, options: dict[str, str]) -> None:
    clone.run("dvc", "remote", "add", "--local", "--force", "--default", "storage", url)
    for name, value in options.items():
        clone.run("dvc", "remote", "modify", "--local", "storage", name, value)


@contextlib.contextmanager
def server(folder: Path, port: int, *command: str) -> Iterator[None]:
    """A server while the block lasts; what it says goes to folder/log."""
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command[0]} does not answer: {(folder / 'log').read_text()}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOCALHOST, port), 1):
        return True
    return False


def free_port() -> int:
    with socket.create_server((LOCALHOST, 0)) as one:
        return one.getsockname()[1]


@contextlib.contextmanager
def ssh(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """URL and options of a remote on an OpenSSH server of our own."""
    port = free_port()
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True)
    (folder / "config").write_text(SSHD.format(port=port, host=LOCALHOST, folder=folder))
    os.makedirs("/run/sshd", exist_ok=True)  # where root's sshd wants to live
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/sshd"
    with server(folder, port, sshd, "-D", "-e", "-f", str(folder / "config")):
        url = f"ssh://{getpass.getuser()}@{LOCALHOST}:{port}{folder}/storage"
        yield url, {"keyfile": str(folder / "user")}


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """URL and options of a remote in a bucket of moto's server, which speaks Amazon's protocol."""
    import urllib.request

    port = free_port()
    with server(
        folder, port, sys.executable, "-m", "moto.server", "-H", LOCALHOST, "-p", str(port)
    ):
        endpoint = f"http://{LOCALHOST}:{port}"
        made = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
        made.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3")
        urllib.request.urlopen(made).close()
        yield (
            f"s3://{BUCKET}/storage",
            {
                "endpointurl": endpoint,
                "access_key_id": "test",
                "secret_access_key": "test",
                "region": "us-east-1",
            },
        )


@contextlib.contextmanager
def given(url: str) -> Iterator[tuple[str, dict[str, str]]]:
    yield url, {}


def main(kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="faceline-sharing-") as scratch:
        place = Path(scratch) / "server"
        place.mkdir()
        kinds = {"ssh": ssh(place), "s3": s3(place), "folder": given(str(place / "storage"))}
        clone = Clone(Path(scratch) / "here", CUT_DOWN)
        clone.run("dvc", "repro")
        clone.commit("results")
        with kinds.get(kind, given(kind)) as (url, options):
            fresh = share(clone, Path(scratch) / "there", url, **options)
        print(
            f"{url}: {len(fresh.hashes())} outputs pushed and pulled; dvc repro had nothing to do"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
