"""An entry of `datasets` in params.yaml: what every image set has, whatever its format."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from stages.core.params import Section, section


class ImageSet(Section):
    """What is not named here are options of the format.

    Attributes:
        format: a file in stages/datasets.
        root: where the vendor's files are.
        align: how the five landmarks of a face are had.
        outside: what a crop shows beyond its photograph: black, as all published models were
            trained, or the photograph's edge pixels drawn out, for photographs cut tight.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: str
    root: str = Field(min_length=1, pattern=r"^[^\x00]*$")
    align: Literal["detect", "landmarks", "none"]
    outside: Literal["black", "edge"] = "black"

    @property
    def options(self) -> dict[str, Any]:
        """Settings of the format's reader."""
        return self.model_extra or {}


def image_set(name: str, params: dict[str, Any]) -> ImageSet:
    """The entry `name`. Raise InputError if there is none, or it is not valid."""
    return section(f"datasets.{name}", ImageSet, params)
