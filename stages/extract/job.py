"""What one run of extract is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.extract.params import Params

NO_SEED = 0  # extraction draws nothing


@dataclass(frozen=True)
class Job:
    """One image set, and the models of params.yaml.

    Attributes:
        item: name of the external features; empty for the models here.
        image_set: name of the set.
        trunk: folder of the trunk.
        resolutions: of the branches, pixels.
        heads: names of the heads.
    """

    item: str
    image_set: str
    trunk: Path
    resolutions: list[int]
    heads: list[str]
    settings: Params
    threads: int
    device: str
    instructions: str

    @property
    def features(self) -> Path:
        """Folder of the set's features."""
        return Path("data/features") / self.image_set
