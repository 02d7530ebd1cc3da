"""An entry of `features` in params.yaml: features of an image set that were computed elsewhere."""

from __future__ import annotations

from stages.core.params import Section


class ExternalFeatures(Section):
    """
    dataset: image set whose images they are of, in the order of its index.
    file: .npy, .npz, FaceCoresetNet's .pickle or MagFace's feature list (docs/features.md).
    """

    dataset: str
    file: str
