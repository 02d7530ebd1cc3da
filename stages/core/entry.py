"""How a stage is started: arguments in, one line out when the input is at fault."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from stages.core.errors import InputError


def start(main: Callable[..., None], *arguments: str) -> None:
    """Run `main` with the command line's positional `arguments`.

    An InputError ends the process with status 1 and its one line on stderr; any other exception
    is a fault of this program and keeps its traceback.
    """
    stage = main.__module__ if main.__module__ != "__main__" else _package()
    parser = argparse.ArgumentParser(prog=f"python -m {stage}", description=main.__doc__)
    for name in arguments:
        parser.add_argument(name)
    given = parser.parse_args()
    try:
        main(**vars(given))
    except InputError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        sys.exit(1)


def _package() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else "stage"
