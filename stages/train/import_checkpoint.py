"""A published checkpoint -> models/NAME, as if the stage train had made it.

Nothing goes missing unsaid: each tensor of the network and of the classifier is printed with where
it comes from, each one that the files hold besides with why it is not used.
"""

from __future__ import annotations

import re
from pathlib import Path

from stages.core.contract import InputContract
from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_folder
from stages.core.weights import save_weights
from stages.networks._files import save_network
from stages.train.import_classifier import Classes, holds_centres, read_classes
from stages.train.import_files import Checkpoint, read_checkpoint
from stages.train.import_network import Found, find_network
from stages.train.import_systems import SYSTEMS, System

MODELS = Path("models")
OF_STAGES = ("train", "distill", "head")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main(
    backbone: str,
    system: str,
    classifier: list[str],
    name: str | None = None,
    spheres: int | None = None,
) -> None:
    """Import a published network, and its class centres, as models/NAME."""
    target = _target(name or system)
    chosen = SYSTEMS[system]
    file = read_checkpoint(Path(backbone))
    found = find_network(file, chosen)
    shards = [read_checkpoint(Path(path)) for path in classifier]
    if not shards and holds_centres(file, chosen, found.used | found.again):
        shards = [file]
    classes = _classes(shards, chosen, found, spheres)
    contract = InputContract(
        colour=chosen.colour,
        mean=chosen.mean,
        scale=chosen.scale,
        embedding=found.params.embedding,
        training_data=f"imported: {file.path.name}, sha256 {file.digest()}",
    )
    described = found.family.describe(found.params)
    with atomic_folder(target) as folder:
        count = {"classes": len(classes.tensors["centres"])} if classes else {}
        save_network(folder, found.network, described, contract, **count)
        if classes:
            header = {"loss": chosen.loss, "spheres": classes.spheres, **count}
            save_weights(folder / "classifier.safetensors", classes.tensors, header)
    print("\n".join([*found.report, *(classes.report if classes else [])]))
    _print_unused([file, *shards], chosen, found, classes)
    settings = ", ".join(f"{key} {value}" for key, value in described.items())
    print(f"{target}: {settings}")
    print(f"fed {contract.colour}, (x - {contract.mean:g}) / {contract.scale:g}")
    print(
        f"{len(classes.tensors['centres'])} classes, {classes.spheres} spheres" if classes else NO
    )
    print(f"next: dvc add {target}; dvc exp run -S trunk={target.name}")


NO = "no class centres: enough to extract; distill and head need them (--classifier)"


def _target(name: str) -> Path:
    target = MODELS / name
    if not NAME.fullmatch(name) or name in OF_STAGES:
        raise InputError(
            target, "is no name for a model", f"choose another than {', '.join(OF_STAGES)}"
        )
    if target.exists():
        raise InputError(target, "exists", "give another --name, or remove it")
    return target


def _classes(
    files: list[Checkpoint], system: System, found: Found, spheres: int | None
) -> Classes | None:
    if not files:
        return None
    network = found.used | found.again
    return read_classes(files, system, found.params.embedding, network, spheres)


def _print_unused(
    files: list[Checkpoint], system: System, found: Found, classes: Classes | None
) -> None:
    used = dict(classes.used) if classes else {}
    used[files[0].path] = used.get(files[0].path, set()) | found.used
    for file in {file.path: file for file in files}.values():
        for name, tensor in file.tensors.items():
            if name not in used.get(file.path, set()):
                reason = _reason(name, system, found)
                print(f"unused in {file.path.name}: {name} {list(tensor.shape)} ({reason})")
        for name in file.others:
            print(f"unused in {file.path.name}: {name} (no weights)")


def _reason(name: str, system: System, found: Found) -> str:
    if name in found.used | found.again:
        return "the same network again"
    if name.endswith(system.dead):
        return "never used by its own code either"
    return "no part of network or classifier"


if __name__ == "__main__":
    start(
        main,
        "backbone",
        options={
            "--as": {
                "dest": "system",
                "required": True,
                "choices": list(SYSTEMS),
                "help": "whose checkpoint it is",
            },
            "--classifier": {
                "nargs": "+",
                "default": [],
                "metavar": "FILE",
                "help": "the class centres: a file, or one of each rank",
            },
            "--name": {"help": "of the folder in models/; the system's where absent"},
            "--spheres": {
                "type": int,
                "help": "of a MultiFace kernel in one piece; 1 where absent",
            },
        },
    )
