import stages  # noqa: F401 (sets how OpenMP's threads wait, which must be before torch)
