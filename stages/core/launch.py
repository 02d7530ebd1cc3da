"""A stage on several processes: NPROC of them on this host, on each of NNODES hosts.

The numbers come from the environment, never from dvc.yaml, so that dvc.lock does not know them.
On every host: `NPROC=8 NNODES=2 NODE_RANK=0 MASTER_ADDR=first.host MASTER_PORT=29500`, with its own
NODE_RANK; the first one's is 0, and it writes all outputs. RANK_TIMEOUT: seconds after which a
silent process counts as gone; 1800 (600 with CUDA) where absent. docs/distributed.md has more.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import torch.distributed

from stages.core.entry import package, start
from stages.core.errors import InputError
from stages.core.ranks import size

STORE_ANSWERS_S = 10.0
LOST = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting")  # gloo's
AGAIN = (
    "see what it said, then give the same commands again: a training goes on from its checkpoint"
)


def start_on_ranks(main: Callable[..., None], *arguments: str) -> None:
    """Like `entry.start`, on as many processes as the environment asks for.

    The first of them to fail says why; the others, which fail because it has left, are silent.
    """

    @functools.wraps(main)
    def together(**given: str) -> None:
        if _several_wanted():
            _launch(package())
        try:
            main(**given)
        except Exception as fault:
            if not _first_to_fail():
                sys.exit(1)
            if any(sign in str(fault) for sign in LOST):
                raise InputError("the other processes", "one of them is gone", AGAIN) from None
            raise
        if size() > 1:
            torch.distributed.destroy_process_group()

    start(together, *arguments)


def _several_wanted() -> bool:
    """Whether the environment asks for more processes than this one, and it is none of them yet."""
    return (counted("NPROC"), counted("NNODES")) != ("1", "1") and "LOCAL_RANK" not in os.environ


def _launch(stage: str) -> NoReturn:
    """Become torchrun's agent: run `stage` with this command line on all processes, then exit."""
    counted("RANK_TIMEOUT")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # until the stage sets its own number
    logging.disable(logging.ERROR)  # torchrun's own repeat, at length, that a rank has failed
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    options = ["--nproc-per-node", counted("NPROC"), *_hosts()]
    try:
        run.run(run.parse_args([*options, "-m", stage, *sys.argv[1:]]))
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:  # it had no time to say anything
            name = signal.Signals(-failure.exitcode).name
            print(f"{stage}: process {number} was ended by {name}", file=sys.stderr)
        sys.exit(1)
    except torch.distributed.DistError as fault:
        problem = f"not all hosts came in time ({fault})"
        remedy = "start all within RANK_TIMEOUT seconds, with one MASTER_ADDR and MASTER_PORT"
        raise InputError("the other hosts", problem, remedy) from None
    except SignalException as error:
        sys.exit(f"{stage}: ended by {error.sigval.name}")
    sys.exit(0)


def _first_to_fail() -> bool:
    if size() == 1:
        return True
    from torch.distributed import distributed_c10d

    counts: list[int] = []

    def count() -> None:
        with suppress(RuntimeError):  # the agent, which keeps the store, has ended already
            counts.append(distributed_c10d._get_default_store().add("faceline/failures", 1))

    asking = threading.Thread(target=count, daemon=True)
    asking.start()
    asking.join(STORE_ANSWERS_S)
    return counts == [1] or asking.is_alive()  # the store's host may be out of reach


def _hosts() -> list[str]:
    if counted("NNODES") == "1":
        return ["--standalone"]
    needed = {"--node-rank": "NODE_RANK", "--master-addr": "MASTER_ADDR"}
    hosts, port = counted("NNODES"), os.environ.get("MASTER_PORT", "29500")
    options = ["--nnodes", hosts, "--master-port", port]
    for option, name in needed.items():
        if name not in os.environ:
            raise InputError(
                "environment", "is not set", "set it on every host when NNODES is above 1", name
            )
        options += [option, os.environ[name]]
    host = os.environ["NODE_RANK"]
    if not (host.isdecimal() and int(host) < int(hosts)):
        remedy = f"give each of the {hosts} hosts its own number, from 0 on"
        raise InputError("environment", f"{host!r} is no host's number", remedy, "NODE_RANK")
    if "RANK_TIMEOUT" in os.environ:
        options += ["--rdzv-conf", f"timeout={counted('RANK_TIMEOUT')}"]
    where = f"{os.environ['MASTER_ADDR']}, port {port}"
    print(f"host {host} of {hosts} waits for the others at {where}", file=sys.stderr, flush=True)
    return options


def counted(name: str) -> str:
    """The environment's number `name` of processes, hosts or seconds; 1 where it is not set.

    Raise InputError if it is not a whole number from 1 up.
    """
    value = os.environ.get(name, "1")
    if not value.isdecimal() or int(value) == 0:
        raise InputError("environment", f"{value!r} is no count", "give a number from 1 up", name)
    return value
