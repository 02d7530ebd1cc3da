"""Settings of the stage unpack."""

from __future__ import annotations

from typing import Literal

from stages.core.params import Section


class Params(Section):
    """Section `unpack`.

    Attributes:
        reader: of RecordIO packs; `mxnet` has mxnet.recordio read them.
    """

    reader: Literal["native", "mxnet"] = "native"
