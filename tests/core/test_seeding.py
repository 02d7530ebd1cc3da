"""What is set before the first torch operation of a process, seen in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from stages.core.seeding import AVX2

HAS = torch.cpu.get_capabilities()
CONVOLVE = """
import torch
from stages.core.seeding import prepare
prepare(0, 1, "cpu", {instructions!r})
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    torch.nn.Conv2d(8, 8, 3)(torch.ones(2, 8, 9, 9))
print(torch.backends.cpu.get_cpu_capability())
"""


def convolve(instructions: str, **environment: str) -> str:
    """What oneDNN tells of a convolution, and the last line: the vectors of torch's own kernels."""
    plain = {name: value for name, value in os.environ.items() if name not in AVX2}
    done = subprocess.run(
        [sys.executable, "-c", CONVOLVE.format(instructions=instructions)],
        env=plain | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not HAS.get("avx2"), reason="a processor without AVX2")
@pytest.mark.parametrize("environment", [{}, {"ONEDNN_MAX_CPU_ISA": "ALL"}])
def test_avx2_is_all_that_torch_and_onednn_then_use(environment: dict[str, str]) -> None:
    told = convolve("avx2", **environment)
    assert "cpu,isa:Intel AVX2\n" in told
    assert told.splitlines()[-1] == "AVX2"


@pytest.mark.skipif(not HAS.get("avx2"), reason="a processor without AVX2")
def test_native_leaves_the_choice_to_the_libraries() -> None:
    assert "cpu,isa:Intel SSE4.1\n" in convolve("native", ONEDNN_MAX_CPU_ISA="SSE41")


@pytest.mark.skipif(not HAS.get("avx2"), reason="a processor without AVX2")
@pytest.mark.parametrize(
    ("asked", "found"), [({}, "Haswell"), ({"OPENBLAS_CORETYPE": "Zen"}, "Zen")]
)
def test_numpys_products_keep_to_avx2(asked: dict[str, str], found: str) -> None:
    show = (
        "import stages, numpy, threadpoolctl as t; print([i['architecture'] for i in "
        "t.threadpool_info() if 'numpy' in i['filepath'] and i['user_api'] == 'blas'])"
    )
    plain = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    told = subprocess.run(
        [sys.executable, "-c", show], env=plain | asked, capture_output=True, text=True, check=True
    )
    assert told.stdout == f"['{found}']\n"
