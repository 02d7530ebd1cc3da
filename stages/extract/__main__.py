"""Models x images -> embeddings, norms, kappas, set descriptors: `data/features/<set>/<model>/`."""

from __future__ import annotations

import importlib
from pathlib import Path

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.params import read_params, section
from stages.extract.job import Job
from stages.extract.params import Params

KINDS = ("images", "heads", "external")
REMEDY = "use `images` for pixels, trunk and branches together, and `heads` for all heads"


def main(what: str, image_set: str) -> None:
    """Extract features of IMAGE_SET. WHAT is `images` (pixels, trunk and branches), `heads` (all
    heads) or `external_NAME` (features that were computed elsewhere)."""
    kind, _, item = what.partition("_")
    if kind not in KINDS or bool(item) != (kind == "external"):
        raise InputError(repr(what), "is not one of images, heads, external_NAME", REMEDY)
    params = read_params()
    job = Job(
        item=item,
        image_set=image_set,
        trunk=Path("models") / params["trunk"],
        resolutions=params["resolutions"],
        heads=params["heads"],
        settings=section("extract", Params, params),
        threads=params["threads"],
        device=params["device"],
        instructions=params["instructions"],
    )
    importlib.import_module(f"stages.extract.{kind}").extract(job)


if __name__ == "__main__":
    start(main, "what", "image_set")
