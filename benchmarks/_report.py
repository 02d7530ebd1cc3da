"""Where measurements are kept: the generated parts of docs/performance.md, and what ran them."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from benchmarks._stamp import Stamp
from stages.core.files import atomic_file
from stages.report.published import filled

PACKAGES = ("torch", "numpy", "opencv-python-headless", "simplejpeg", "scipy", "scikit-learn",
            "scikit-image", "mxnet", "dvc")  # fmt: skip


def machine() -> str:
    """Processor, cores, memory and versions, in a sentence."""
    information = Path("/proc/cpuinfo").read_text()
    models = re.findall(r"model name\s*:\s*(.+)", information) or [platform.processor()]
    vectors = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
               if name in information.split()]  # fmt: skip
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{models[0]} ({', '.join(vectors)}), {os.cpu_count()} cores, {memory:.0f} GiB of memory; "
        f"Python {platform.python_version()}, {packages}."
    )


def write_part(document: Path, module: str, generated: str, stamp: Stamp) -> None:
    """Bring the part of `document` that `python -m module` generates up to date.

    Args:
        document: has the marks of the part.
        module: and its arguments.
        generated: the part.
        stamp: of the code, taken before the measurement.
    """
    text = filled(document.read_text(), module, f"{stamp}\n\n{generated}")
    with atomic_file(document) as scratch:
        scratch.write_text(text)
