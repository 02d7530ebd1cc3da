"""Trunk -> a head on it, trained while the trunk stays as it is.

Uncertainty heads (SCF, PFE) read its last map and say how sure it may be of an image; set heads
(FaceCoresetNet) make one descriptor of a set of embeddings. Degraded copies among the training
images are what both learn doubt from. A head that was imported together with its trunk is taken as
it is.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stages.core.checkpoints import checkpoints
from stages.core.files import atomic_folder
from stages.core.fit import Loop, fit
from stages.core.launch import start_on_ranks
from stages.core.params import load, read_params
from stages.core.ranks import rank
from stages.core.seeding import derive, prepare
from stages.core.weights import load_weights, save_weights
from stages.head import sets, uncertainty
from stages.head.frozen import Frozen
from stages.networks._files import WEIGHTS, fingerprint

CHOICES = ("dataset", "trunk", "seed", "threads", "device", "instructions")


def main(name: str) -> None:
    """Train the head `name` (a file of stages/heads) on the frozen trunk."""
    params = read_params()
    seed = params["seed"]
    device = prepare(seed, params["threads"], params["device"], params["instructions"])
    source = Path("models") / params["trunk"]
    imported = source / "heads" / name / WEIGHTS
    own = params["head"]["shared"] | (params["head"].get(name) or {})
    if imported.is_file():
        tensors, header = load_weights(imported)
        own = header["settings"]  # of no epochs
    heads, settings = load("heads", name, own, f"head.{name}")
    aligned = Path("data/align") / params["dataset"]
    frozen = Frozen(source, aligned, settings, device, params["threads"])
    torch.manual_seed(derive(seed, "head", name))
    kind = uncertainty if hasattr(heads, "loss") else sets
    task = kind.prepare_task(heads, settings, frozen, name, seed)
    if imported.is_file():
        task.modules["head"].load_state_dict(tensors)

    used = {key: params[key] for key in CHOICES} | {name: settings.model_dump()}
    stage, log = f"head/{name}", Path("metrics/head") / name
    loop = Loop(images=getattr(settings, "images", 1))
    with checkpoints(stage, used, task.inputs) as saved:
        fit(stage, task.modules, settings, task.rows, task.step, saved, log, seed, loop=loop)
        if rank() == 0:
            header = {"head": name, "settings": settings.model_dump(), "build": task.build}
            contract = frozen.contract
            if not imported.is_file():
                contract = contract.learning(params["dataset"], frozen.images.digest)
            header |= {"contract": contract.as_dict(), "trunk": fingerprint(source)}
            with atomic_folder(Path("models/head") / name) as folder:
                save_weights(folder / WEIGHTS, task.modules["head"].state_dict(), header)


if __name__ == "__main__":
    start_on_ranks(main, "name")
