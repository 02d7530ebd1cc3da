"""Models x images -> embeddings, norms, kappas, set descriptors: `data/features/<set>/<model>/`."""

from __future__ import annotations

import importlib
from pathlib import Path

from stages.core.entry import start
from stages.core.files import atomic_folder
from stages.core.params import read_params, section
from stages.extract.job import Job
from stages.extract.params import Params


def main(model: str, image_set: str) -> None:
    """Extract features of `image_set` by a model: trunk, branches, head_<name> or pixels."""
    params = read_params()
    kind, _, item = model.partition("_")
    job = Job(
        item=item,
        image_set=image_set,
        output=Path("data/features") / image_set / model,
        trunk=Path("models") / params["trunk"],
        resolutions=params["resolutions"],
        settings=section("extract", Params, params),
        seed=params["seed"],
        threads=params["threads"],
        device=params["device"],
        instructions=params["instructions"],
    )
    if kind == "branches" and not job.resolutions:
        with atomic_folder(job.output):  # nothing to do, and no torch to wait for
            return
    importlib.import_module(f"stages.extract.{kind}").extract(job)


if __name__ == "__main__":
    start(main, "model", "image_set")
