"""What one run of extract is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.extract.params import Params


@dataclass(frozen=True)
class Job:
    """One model, one image set.

    Attributes:
        item: what follows the kind in the model's name: the name of a head.
        image_set: name of the set.
        output: folder of the features to write.
        trunk: folder of the trunk.
    """

    item: str
    image_set: str
    output: Path
    trunk: Path
    resolutions: list[int]
    settings: Params
    seed: int
    threads: int
    device: str
    instructions: str
