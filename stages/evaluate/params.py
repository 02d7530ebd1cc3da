"""Settings of section `evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.core.params import Section


class Params(Section):
    """Which rows the tables have, and how their intervals are found.

    Attributes:
        settings: rows `r1&r2`, one side of a comparison seen at r1 pixels, the other at r2 (BTNet);
            those of a resolution that is not in `resolutions` are left out.
        baselines: rows beside them: `upsampled r1&r2`, the trunk on enlarged images, and `pixels`.
        descriptors: rows of template protocols, files in stages/descriptors; those that neither the
            trunk nor one of `heads` has are left out.
        likelihoods: heads whose likelihood score makes a row of pairs and template pairs (SCF's
            equation 13, PFE's mutual likelihood); those that are not in `heads` are left out.
        bootstrap: replicates of an interval.
        seed: of the replicates.
    """

    settings: list[Annotated[str, Field(pattern=r"^(112|28|14|7)&(112|28|14|7)$")]] = [
        "112&112",
        "112&28",
        "112&14",
        "112&7",
        "28&28",
        "14&14",
        "7&7",
    ]
    baselines: list[Literal["upsampled", "pixels"]] = ["upsampled", "pixels"]
    descriptors: list[str] = ["mean", "norm", "kappa"]
    likelihoods: list[str] = []
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
