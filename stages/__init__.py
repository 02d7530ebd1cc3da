"""faceline: stages of the pipeline, and the libraries they are made of.

Two settings of libraries that read them when they are loaded; who sets them otherwise, keeps them.

OpenMP's threads wait asleep rather than spinning: on a machine that others use too, spinning makes
a training step several times slower, and on one of its own it gains next to nothing.

NumPy's matrix products (OpenBLAS) keep to one kernel, that of Haswell, so that AVX-512 does not
change scores, curves and intervals. PyTorch's instructions are a parameter: `instructions`.
"""

import os


def _has_avx2() -> bool:
    """Whether this is an x86 processor with AVX2; Linux tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return "avx2" in next((line for line in lines if line.startswith("flags")), "").split()
    except OSError:
        return False


os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if _has_avx2():
    os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
