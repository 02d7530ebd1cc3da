"""Images that are files of their own, named by a list that may come from anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from stages.core.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}


def refuse_outside(folder: Path, name: str, listing: Path, record: str | int) -> None:
    """Raise InputError if the file `name` is not in `folder`."""
    path = os.path.abspath(os.path.join(folder, name))
    if "\0" in name or not path.startswith(os.path.join(os.path.abspath(folder), "")):
        problem = f"{name!r} leads out of {folder}"
        raise InputError(listing, problem, "name images inside that folder only", record)


def read_image(path: Path, listing: Path, record: str | int) -> bytes:
    """The bytes of an image file. Raise InputError, naming who asked for it, if there are none."""
    try:
        return path.read_bytes()
    except OSError as fault:
        problem, remedy = f"cannot read {path} ({fault.strerror})", "add that image"
        if not path.parent.is_dir():
            remedy = f"add the folder {path.parent}"
        raise InputError(listing, problem, f"{remedy}, or remove its line", record) from None
