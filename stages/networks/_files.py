"""Trunks and branches to and from weights files, whatever their family."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.core.params import load
from stages.core.weights import load_weights, save_weights

WEIGHTS = "weights.safetensors"
CENTRES = "classifier.safetensors"


def fingerprint(folder: Path) -> str:
    """SHA-256 of a model's weights file: what a branch or a head says of its trunk."""
    return hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest()


def require_trunk(path: Path, header: dict[str, Any], trunk: Path) -> None:
    """Raise InputError unless the model at `path` was made for the weights in folder `trunk`."""
    if header["trunk"] != fingerprint(trunk):
        raise InputError(
            path, f"was made for another trunk than {trunk}", "make it again by dvc repro"
        )


class Loaded(NamedTuple):
    """A network from a file, with what the file says of it.

    Attributes:
        network: in eval mode, nothing requires a gradient.
        family: module of stages/networks that built it.
        params: its settings.
        contract: what it must be fed.
        header: the whole header.
    """

    network: nn.Module
    family: Any
    params: Any
    contract: InputContract
    header: dict[str, Any]


def save_network(
    folder: Path,
    network: nn.Module,
    described: dict[str, Any],
    contract: InputContract,
    **more: Any,
) -> None:
    """Write `network` to folder/weights.safetensors with its description and input contract."""
    header = {"network": described, "contract": contract.as_dict(), **more}
    save_weights(folder / WEIGHTS, network.state_dict(), header)


def load_trunk(folder: Path) -> Loaded:
    """The whole network in `folder`. Raise InputError if file and network do not fit."""
    return _load(folder, lambda family, params, header: family.build(params))


def load_branch(folder: Path) -> Loaded:
    """The branch in `folder`, for the resolution that its header names.

    One distilled by the reference's rule is a whole network (a `Trunk`).
    """

    def build(family: Any, params: Any, header: dict[str, Any]) -> nn.Module:
        whole = header["freeze"] == "reference"
        return (family.build if whole else family.build_branch)(params, header["resolution"])

    return _load(folder, build)


def _load(folder: Path, build) -> Loaded:
    path = Path(folder) / WEIGHTS
    tensors, header = load_weights(path)
    settings = dict(header["network"])
    family, params = load("networks", settings.pop("name"), settings, "backbone")
    network = build(family, params, header)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as fault:
        first = str(fault).splitlines()[1].strip()
        remedy = "run the stage that writes it again, or import the checkpoint again"
        raise InputError(path, f"does not fit its own header: {first}", remedy) from None
    network.eval().requires_grad_(False)
    return Loaded(network, family, params, InputContract(**header["contract"]), header)
