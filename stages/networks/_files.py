"""Trunks and branches to and from weights files, whatever their family."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.params import load
from stages.core.weights import load_weights, save_weights

WEIGHTS = "weights.safetensors"
CENTRES = "classifier.safetensors"
AGAIN = "run the stage that writes it again, or import the checkpoint again"


def fingerprint(folder: Path) -> str:
    """SHA-256 of a model's weights file: what a branch or a head says of its trunk."""
    return sha256(Path(folder) / WEIGHTS)


def origin(folder: Path, contract: InputContract) -> dict[str, Any]:
    """What a number that a model gives goes back to: its weights, and what it is fed."""
    weights = f"{folder} sha256 {fingerprint(folder)}"
    return {"weights": weights, "contract": contract.as_dict()}


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
    contract = _contract(path, header.get("contract"))
    settings = header.get("network")
    if not (isinstance(settings, dict) and isinstance(settings.get("name"), str)):
        raise InputError(path, "its header names no network", AGAIN)
    settings = dict(settings)
    try:
        family, params = load("networks", settings.pop("name"), settings, "network")
    except InputError as error:
        raise InputError(path, f"its header: {error.problem}", AGAIN, error.record) from None
    with torch.device("meta"):  # a few forged bytes may stand for terabytes of network
        _require_fit(path, build(family, params, header), tensors)
    network = build(family, params, header)
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return Loaded(network, family, params, contract, header)


def _require_fit(path: Path, network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Raise InputError that names the first tensor that is missing, left over or of other shape."""
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in [*wanted, *tensors]:
        there = list(tensors[name].shape) if name in tensors else "absent"
        if there != wanted.get(name):
            problem = f"does not fit its own header: {there}, not {wanted.get(name, 'there')}"
            raise InputError(path, problem, AGAIN, name)


def _contract(path: Path, told: Any) -> InputContract:
    """Raise InputError unless `told` has the fields of an InputContract."""
    fields = InputContract().as_dict()
    number = int | float
    if (
        not isinstance(told, dict)
        or told.keys() != fields.keys()
        or any(
            not isinstance(told[key], number if isinstance(value, number) else str)
            for key, value in fields.items()
        )
    ):
        raise InputError(path, "has no input contract", AGAIN)
    return InputContract(**told)
