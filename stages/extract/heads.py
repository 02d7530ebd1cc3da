"""Features of a set by all heads of params.yaml, in one folder."""

from __future__ import annotations

import json

from stages.core.files import atomic_folder
from stages.extract.job import Job

LIST = "heads.json"  # names of the heads; keeps the folder from being empty, which DVC warns of


def extract(job: Job) -> None:
    """Write `heads/<name>` per head. Without heads torch is not imported."""
    with atomic_folder(job.features / "heads") as folder:
        (folder / LIST).write_text(json.dumps(job.heads) + "\n")
        if job.heads:
            from stages.extract.head import write_heads

            write_heads(job, folder)
