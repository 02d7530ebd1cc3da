"""What is set before the first torch operation of a process, seen in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from stages.core.seeding import AVX2, UNCAPPED

HAS = torch.cpu.get_capabilities()
CONVOLVE = """
import torch
from stages.core.seeding import prepare
prepare(0, 1, "cpu", {instructions!r})
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    torch.nn.Conv2d(8, 8, 3)(torch.ones(2, 8, 9, 9))
print(torch.backends.cpu.get_cpu_capability())
"""


def in_a_process(code: str, **environment: str) -> str:
    """What `code` prints, with nothing else set of what caps vectors."""
    plain = {name: value for name, value in os.environ.items() if name not in (*AVX2, UNCAPPED)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def convolve(instructions: str, **environment: str) -> str:
    """What oneDNN tells of a convolution, and the last line: the vectors of torch's own kernels."""
    return in_a_process(CONVOLVE.format(instructions=instructions), **environment)


@pytest.mark.skipif(not HAS.get("avx2"), reason="a processor without AVX2")
def test_avx2_is_all_that_torch_and_onednn_then_use() -> None:
    told = convolve("avx2")
    assert "cpu,isa:Intel AVX2\n" in told
    assert told.splitlines()[-1] == "AVX2"


@pytest.mark.skipif(not HAS.get("avx2"), reason="a processor without AVX2")
def test_what_the_environment_sets_is_kept() -> None:
    told = convolve("avx2", ONEDNN_MAX_CPU_ISA="SSE41", ATEN_CPU_CAPABILITY="default")
    assert "cpu,isa:Intel SSE4.1\n" in told
    assert told.splitlines()[-1] == "DEFAULT"


TWICE = """
import os, subprocess, sys
from stages.core.seeding import AVX2, hold_to_avx2
hold_to_avx2()
print([os.environ.get(name) for name in AVX2])
if len(sys.argv) == 1:
    code = sys.orig_argv[sys.orig_argv.index("-c") + 1]
    subprocess.run([sys.executable, "-c", code, "child"], check=True)
"""


@pytest.mark.skipif(not HAS.get("avx2"), reason="a processor without AVX2")
@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, ["avx2", "AVX2", "AVX2"]),
        ({"MKL_CBWR": "COMPATIBLE"}, ["avx2", "AVX2", "COMPATIBLE"]),
        ({"MKL_CBWR": "native"}, ["avx2", "AVX2", None]),
        (dict.fromkeys(AVX2, "native"), [None, None, None]),
        ({"ATEN_CPU_CAPABILITY": "native", "MKL_CBWR": "AVX2"}, [None, "AVX2", "AVX2"]),
    ],
)
def test_native_is_unset_here_and_in_the_processes_that_start_here(
    environment: dict[str, str], found: list[str | None]
) -> None:
    assert in_a_process(TWICE, **environment) == f"{found}\n" * 2


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
