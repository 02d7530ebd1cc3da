"""What `model.json` says of the features beside it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from stages.core.contract import InputContract
from stages.extract.features import settings_of
from stages.extract.job import Job
from stages.networks._files import origin


def about(
    job: Job, folder: Path, contract: InputContract, *descriptors: ModuleType
) -> dict[str, Any]:
    """The weights in `folder`, what they are fed, and how sets are described: what decides them."""
    chosen = settings_of(job.image_set, *descriptors)
    return origin(folder, contract) | {
        "resampler": job.settings.resampler,
        "precision": job.settings.precision,
        "descriptors": {name: settings.model_dump() for name, settings in chosen.items()},
    }
