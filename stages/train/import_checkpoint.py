"""A published checkpoint -> models/NAME, as if the stage train had made it.

Nothing goes missing unsaid: each tensor of the network and of the classifier is printed with where
it comes from, each one that the files hold besides with why it is not used.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from stages.core.contract import InputContract
from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_folder, sha256
from stages.core.params import MODEL_NAME
from stages.core.weights import save_weights
from stages.networks._files import CENTRES, WEIGHTS, fingerprint, save_network
from stages.train.import_classifier import Classes, holds_centres, read_classes
from stages.train.import_files import Checkpoint, read_checkpoint
from stages.train.import_network import Found, find_network
from stages.train.import_set_head import SetHead, find_set_head
from stages.train.import_systems import SYSTEMS, System

MODELS = Path("models")
OF_STAGES = ("train", "distill", "head")


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
    shards = [read_checkpoint(Path(path)) for path in classifier]
    network = find_network(file, chosen)
    classes = _find_classes(file, shards, chosen, network, spheres)
    head = find_set_head(file, network.params.embedding) if chosen.set_head else None
    contract = InputContract(
        colour=chosen.colour,
        mean=chosen.mean,
        scale=chosen.scale,
        embedding=network.params.embedding,
        training_data=f"imported: {file.path.name}, sha256 {sha256(file.path)}",
    )
    with atomic_folder(target) as folder:
        _write(folder, contract, chosen.loss, network, classes, head)
    parts = [part for part in (network, classes, head) if part]
    print("\n".join(line for part in parts for line in part.report))
    _print_unused([file, *shards], chosen, network, classes, head)
    _print_summary(target, contract, network, classes, head)
    if doubt := _doubt(network):
        print(f"{file.path}: {doubt}: see that --as {system} is right", file=sys.stderr)


def _target(name: str) -> Path:
    target = MODELS / name
    if not re.fullmatch(MODEL_NAME, name) or name in OF_STAGES:
        raise InputError(
            target,
            "is no name for a model",
            f"take letters, digits, `.`, `_` and `-`, and none of {', '.join(OF_STAGES)}",
        )
    if target.exists():
        raise InputError(target, "exists", "give another --name, or remove it")
    return target


def _find_classes(
    file: Checkpoint,
    shards: list[Checkpoint],
    system: System,
    network: Found,
    spheres: int | None,
) -> Classes | None:
    """Of the files named, else of the network's own if it has any."""
    names = network.used | network.again | network.averages
    if not shards and not system.set_head and holds_centres(file, system, names):
        shards = [file]
    if not shards:
        return None
    return read_classes(shards, system, network.params.embedding, names, spheres)


def _write(
    folder: Path,
    contract: InputContract,
    loss: str,
    network: Found,
    classes: Classes | None,
    head: SetHead | None,
) -> None:
    described = network.family.describe(network.params)
    count = {"classes": len(classes.tensors["centres"])} if classes else {}
    save_network(folder, network.network, described, contract, **count)
    if classes:
        header = {"loss": loss, "spheres": classes.spheres, **count}
        save_weights(folder / CENTRES, classes.tensors, header)
    if head:
        header = head.header | {"contract": contract.as_dict(), "trunk": fingerprint(folder)}
        file = folder / "heads" / head.header["head"] / WEIGHTS
        save_weights(file, head.head.state_dict(), header)


def _print_unused(
    files: list[Checkpoint],
    system: System,
    network: Found,
    classes: Classes | None,
    head: SetHead | None,
) -> None:
    used = dict(classes.used) if classes else {}
    own = used.get(files[0].path, set()) | network.used | (head.used if head else set())
    used[files[0].path] = own
    for file in {file.path: file for file in files}.values():
        for name, tensor in file.tensors.items():
            if name not in used.get(file.path, set()):
                reason = _reason(name, system, network, head)
                print(f"unused in {file.path.name}: {name} {list(tensor.shape)} ({reason})")
        for name in file.others:
            print(f"unused in {file.path.name}: {name} (no weights)")


def _reason(name: str, system: System, network: Found, head: SetHead | None) -> str:
    if name in network.used | network.again:
        return "the same network again"
    if name in network.averages:
        return "a moving average of the weights; to import it, save it in a file of its own"
    if name.endswith(system.dead) or (head and name in head.dead):
        return "never used by its own code either"
    return "no part of network or classifier"


def _doubt(network: Found) -> str | None:
    """What speaks for another system whose networks have the same tensors."""
    gamma = network.network.state_dict().get("features.weight")
    if gamma is None:
        return None
    fixed, magface = bool((gamma == 1).all()), network.params.flavour == "magface"
    if fixed and magface:
        return "the last BatchNorm's gamma is 1 throughout, as InsightFace leaves it"
    if not fixed and not magface:
        return "the last BatchNorm's gamma was trained, as MagFace does"
    return None


def _print_summary(
    target: Path,
    contract: InputContract,
    network: Found,
    classes: Classes | None,
    head: SetHead | None,
) -> None:
    described = network.family.describe(network.params)
    print(f"{target}: " + ", ".join(f"{key} {value}" for key, value in described.items()))
    print(f"fed {contract.colour}, (x - {contract.mean:g}) / {contract.scale:g}")
    if classes:
        print(f"classes {len(classes.tensors['centres'])}, spheres {classes.spheres}")
    else:
        print("no class centres: enough to extract; distill and head need them (--classifier)")
    family = f"-S backbone.name={described['name']}"
    heads = "-S 'heads=[coreset]'" if head else "-S 'heads=[]'"
    print(
        f"next: dvc add {target}; git add {target}.dvc {MODELS}/.gitignore; "
        f"dvc exp run report -S trunk={target.name} {family} -S 'resolutions=[]' {heads}"
    )


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
