"""Settings of the stage unpack, and what it reads of an entry of `datasets`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from stages.core.params import Section


class Params(Section):
    """Section `unpack`.

    Attributes:
        reader: of RecordIO packs; `mxnet` has mxnet.recordio read them.
    """

    reader: Literal["native", "mxnet"] = "native"


class ImageSet(Section):
    """An entry of `datasets`; what is not named here are options of its format."""

    model_config = ConfigDict(extra="allow", frozen=True)

    format: str
    root: str
    align: str

    @property
    def options(self) -> dict[str, Any]:
        return self.model_extra or {}
