"""Where randomness, threads, device and instructions are set: before the first torch operation."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING

from stages.core.errors import InputError
from stages.core.params import PARAMS_FILE

if TYPE_CHECKING:
    import torch


# Caps on PyTorch's own kernels, oneDNN's and MKL's; each library reads its own at its first use.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
}
NATIVE = "native"  # value of one of them that leaves the choice to its library
UNCAPPED = "FACELINE_UNCAPPED"  # names of those that an earlier process found to be native


def prepare(seed: int, threads: int, device: str, instructions: str) -> torch.device:
    """Seed torch, fix its threads, choose the device, and ask for deterministic algorithms.

    The number of threads changes the order of float sums and with it the weights, and so does the
    width of the processor's vectors: parameters. A process that torchrun started joins the others,
    on a CUDA device of its own if there is one.

    Args:
        device: `auto`, `cpu` or `cuda`.
        instructions: `avx2` caps an x86 processor at AVX2, but keeps what the environment sets
            (`hold_to_avx2`); `native` takes the widest vectors it has. Either gives the same bytes
            on the same model of processor. Under `avx2`, AMD's with AVX-512 and without it gave the
            same bytes too. Intel's round otherwise (docs/distributed.md, "Another processor").
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if instructions == "avx2":
        hold_to_avx2()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        if not torch.cuda.is_available():
            problem = "this torch finds no CUDA device"
            raise InputError(PARAMS_FILE, problem, "set it to auto or cpu", "device")
        # On the CPU the operations used here are deterministic, and asking costs a second of
        # imports and the filling of every new tensor.
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        patience = os.environ.get("RANK_TIMEOUT")  # torch's own where absent
        torch.distributed.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            timeout=timedelta(seconds=int(patience)) if patience else None,
        )
    return torch.device(device)


def hold_to_avx2() -> None:
    """Cap the vectors of an x86 processor, in this process and those it starts.

    A variable of `AVX2` that the environment sets keeps its value. The value `native` leaves that
    library its own choice: the variable is then removed, because the libraries do not know it.

    It comes too late once a tensor has been computed.
    """
    import torch

    uncapped = set(os.environ.get(UNCAPPED, "").split())
    for name, value in AVX2.items():
        if os.environ.get(name) == NATIVE:
            uncapped.add(name)
            del os.environ[name]
        elif name not in uncapped and torch.cpu.get_capabilities().get("avx2"):
            os.environ.setdefault(name, value)
    if uncapped:
        os.environ[UNCAPPED] = " ".join(sorted(uncapped))


def derive(seed: int, *labels: object) -> int:
    """A 63-bit seed for one purpose, independent of every other purpose of the same `seed`.

    A sample's augmentation is drawn from derive(seed, epoch, row), so that the number of workers
    or of ranks changes nothing.
    """
    text = "/".join(str(part) for part in (seed, *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
