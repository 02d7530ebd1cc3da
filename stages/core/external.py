"""An entry of `features` in params.yaml: features of an image set that were computed elsewhere."""

from __future__ import annotations

from pydantic import Field

from stages.core.params import Section


class ExternalFeatures(Section):
    """
    dataset: image set whose images they are of, in the order of its index.
    file: .npy, .npz, FaceCoresetNet's .pickle or MagFace's feature list (docs/features.md).
    dimensions: numbers of an embedding; where it is given, a file of another width is refused.
    """

    dataset: str
    file: str
    dimensions: int | None = Field(None, ge=1)
