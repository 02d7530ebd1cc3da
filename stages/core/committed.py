"""What git has of a file."""

from __future__ import annotations

import subprocess
from pathlib import Path


def committed(path: Path) -> str | None:
    """Text of a file, relative to the working directory, at HEAD; None without git, a repository,
    a commit, or the file in it."""
    try:
        shown = subprocess.run(
            ["git", "show", f"HEAD:./{path}"], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return shown.stdout
