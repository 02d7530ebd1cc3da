"""How a stage is started: arguments in, one line out when the input is at fault."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from stages.core.allocator import keep_freed_memory
from stages.core.errors import DivergedError, InputError
from stages.core.files import OF_STORAGE, StorageError
from stages.core.parent import die_with_parent
from stages.core.scratch import sweep_workspace

OUTPUTS = ("data/", "models/", "metrics/", "plots/")  # where stages find each other's work
MADE_BY = "`dvc repro` makes what stages make, `dvc pull` fetches it"
OF_DVC = "DVC_STAGE"  # environment of every stage that DVC runs


def start(
    main: Callable[..., None],
    *arguments: str,
    options: dict[str, dict[str, Any]] | None = None,
    command: str | None = None,
) -> None:
    """Run `main` with the command line's positional `arguments` and its `options`.

    Args:
        main: is called with what the command line gives, by name.
        arguments: names of the positional ones.
        options: by flag or name, what argparse is to know of it.
        command: what a person types after `python -m`; by default the module of `main`.

    An InputError ends the process with status 1 and its one line on stderr, and so does a training
    that diverged, a missing output of another stage and a disk that is full or read-only; any other
    exception is a fault of this program and keeps its traceback. A stage that DVC runs ends with
    it. What dead processes left half-written, of any stage, is removed first.
    """
    stage = main.__module__ if main.__module__ != "__main__" else package()
    parser = argparse.ArgumentParser(prog=f"python -m {command or stage}", description=main.__doc__)
    for name in arguments:
        parser.add_argument(name)
    for flag, settings in (options or {}).items():
        parser.add_argument(flag, **settings)
    given = parser.parse_intermixed_args()
    die_with_parent(of_dvc=OF_DVC in os.environ)
    keep_freed_memory()
    sweep_workspace()
    try:
        main(**vars(given))
        sys.stdout.flush()
    except BrokenPipeError:  # what read the output, such as `head`, wants no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except InputError as error:
        sys.exit(f"{stage}: {error}")
    except DivergedError as fault:
        sys.exit(f"{fault}. The last checkpoint is from before. Remedy: {fault.REMEDY}.")
    except FileNotFoundError as fault:
        if not str(fault.filename).startswith(OUTPUTS):
            raise
        sys.exit(f"{stage}: {InputError(fault.filename, 'no such file or folder', MADE_BY)}")
    except OSError as fault:
        if fault.errno not in OF_STORAGE:
            raise
        sys.exit(f"{stage}: {StorageError(fault.filename or 'an output', fault.errno)}")


def package() -> str:
    """Name of the stage that `python -m` started."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else "stage"
