"""What malloc does with memory that a stage frees."""

from __future__ import annotations

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt
NEVER, NONE = -1, 0


def keep_freed_memory() -> None:
    """Have malloc keep what is freed for the next array of this process.

    By default every array of more than 32 MiB is a map of its own, which goes back to the kernel
    as soon as it is freed, and zeroing the pages of the next one takes time. The process keeps its
    peak of memory to its end instead.
    """
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, NONE)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    except (OSError, AttributeError):  # another C library than glibc: nothing is lost but time
        return
