"""The network in a checkpoint: which family, depth and width, found by its tensors' names."""

from __future__ import annotations

import importlib
import re
from functools import cache
from itertools import product
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import torch
from torch import Tensor, nn

from stages.core.errors import InputError
from stages.networks._staged import CHANNELS
from stages.train.import_files import Checkpoint
from stages.train.import_strangers import (
    absent,
    is_average,
    require_no_adapters,
    require_no_strangers,
)
from stages.train.import_systems import LAYOUTS, Layout, System

COUNTER = "num_batches_tracked"
LARGEST_WIDTH = 4  # of a network that is built on the word of a file
LARGEST_EMBEDDING = 16_384
FEWEST = 2  # dimensions of an embedding
LOW_RESOLUTION_LACKS = "layer1.0.downsample."  # what BTNet's networks below 112 px have not


class Found(NamedTuple):
    """A network with the weights of a checkpoint.

    Attributes:
        network: with these weights.
        family: module of stages/networks.
        params: its settings.
        used: names of the checkpoint's tensors that are in it.
        again: names of those that hold the same network a second time.
        averages: names of those that are a moving average of its weights.
        report: a line a tensor.
    """

    network: nn.Module
    family: ModuleType
    params: Any
    used: set[str]
    again: set[str]
    averages: set[str]
    report: list[str]


def find_network(file: Checkpoint, system: System) -> Found:
    """The network of `system` in `file`.

    Raise InputError if there is none, not all of it, or more of it than has a place here.
    """
    require_no_adapters(file)
    for name in system.families:
        layout = LAYOUTS[name]
        prefixes = prefixes_of(file, layout.anchor)
        if prefixes:
            family = importlib.import_module(f"stages.networks.{name}")
            return _loaded(file, prefixes, family, system.settings, layout)
    for name in system.families:
        for prefix in prefixes_of(file, LAYOUTS[name].anchor, is_whole=False):
            if (fault := absent(file, prefix + LAYOUTS[name].anchor)) is not None:
                raise fault
    looked_for = " or ".join(LAYOUTS[name].anchor for name in system.families)
    raise InputError(
        file.path,
        f"holds no network of this system: no tensor named {looked_for}",
        f"check --as; the file has {', '.join(list(file.tensors)[:3])}, ..",
    )


def prefixes_of(file: Checkpoint, anchor: str, is_whole: bool = True) -> list[str]:
    """What stands before tensors called `anchor`: `state_dict.module.features.` and the like.

    With `is_whole` off, before whatever lies in the place of that tensor.
    """
    if is_whole:
        pattern = re.compile(rf"(.*\.)?{re.escape(anchor)}")
    else:
        module = anchor.removesuffix("weight")
        pattern = re.compile(rf"(.*\.)?{re.escape(module)}.*")
    found = (pattern.fullmatch(name) for name in (*file.tensors, *file.opaque))
    return list(dict.fromkeys(match[1] or "" for match in found if match))


def _loaded(
    file: Checkpoint,
    prefixes: list[str],
    family: ModuleType,
    settings: dict[str, Any],
    layout: Layout,
) -> Found:
    averaged = tuple(prefix for prefix in prefixes if is_average(prefix))
    prefixes = [prefix for prefix in prefixes if prefix not in averaged] or prefixes[:1]
    prefix = prefixes[0]
    width = _rows(file, prefix + layout.anchor, LARGEST_WIDTH * CHANNELS[-1]) / CHANNELS[-1]
    embedding = _rows(file, prefix + layout.projection, LARGEST_EMBEDDING, FEWEST)
    told = _told_by_names(file, prefix, family)
    params = family.Params(width=width, embedding=embedding, **settings, **told)
    network = family.build(params)
    names = network.published_names()
    for place in prefixes:
        copies = tuple(p for p in (*prefixes, *averaged) if p != place)
        beside = tuple(p for p in copies if p.startswith(place))
        own, kind = set(names.values()), family.__name__.rpartition(".")[2]
        require_no_strangers(file, place, own, kind, embedding, beside, copies)
    again = _again(file, prefixes, set(names.values()))
    report = fill(network, file, {ours: prefix + theirs for ours, theirs in names.items()})
    used = {prefix + name for name in names.values()} & file.tensors.keys()
    averages = {name for name in file.tensors if is_average(name)} - used
    return Found(network, family, params, used, again, averages, report)


def _rows(file: Checkpoint, name: str, most: int, fewest: int = 1) -> int:
    tensor = file.tensors.get(name)
    if tensor is None:
        remedy = "pass the whole network's weights"
        raise absent(file, name) or InputError(file.path, "is absent", remedy, name)
    if not tensor.ndim or not fewest <= len(tensor) <= most:
        problem = f"has shape {list(tensor.shape)}, which no network has"
        raise InputError(file.path, problem, _remedy(name), name)
    return len(tensor)


def _told_by_names(file: Checkpoint, prefix: str, family: ModuleType) -> dict[str, Any]:
    """Depth, and whether there is squeeze-and-excitation, by the networks' names of tensors.

    The settings whose names differ from those in the file by the fewest.
    """
    fields = family.Params.model_fields
    options = {name: (True, False) for name, field in fields.items() if field.annotation is bool}
    if get_origin(fields["depth"].annotation) is Literal:
        options["depth"] = get_args(fields["depth"].annotation)
    present = {name[len(prefix) :] for name in file.tensors if name.startswith(prefix)}

    def strangers(told: dict[str, Any]) -> int:
        return len(present ^ _names(family, **told))

    return min(
        (dict(zip(options, v, strict=True)) for v in product(*options.values())), key=strangers
    )


@cache
def _names(family: ModuleType, **told: Any) -> frozenset[str]:
    """Published names of the family's network with these settings; no width changes them."""
    network = family.build(family.Params(width=1 / CHANNELS[0], embedding=FEWEST, **told))
    return frozenset(network.published_names().values())


def fill(module: nn.Module, file: Checkpoint, names: dict[str, str]) -> list[str]:
    """Load the tensors of `file` into `module`, and return a line on each.

    Args:
        names: in the file, by the names in the module's state dict.

    Raises:
        InputError: a tensor is absent, has another shape or holds NaN.
    """
    state, report = {}, []
    for ours, ready in module.state_dict().items():
        state[ours], line = _taken(file, names[ours], ready)
        report.append(f"{ours} <- {line}")
    module.load_state_dict(state)
    return report


def _taken(file: Checkpoint, name: str, empty: Tensor) -> tuple[Tensor, str]:
    """The tensor `name` of the file in the shape and type of `empty`, and what to say of it."""
    tensor = file.tensors.get(name)
    if tensor is None and name.endswith(COUNTER):
        return torch.zeros((), dtype=empty.dtype), f"0 ({name} is absent, and counts nothing)"
    if tensor is None:
        raise absent(file, name) or InputError(file.path, "is absent", _remedy(name), name)
    if tensor.shape != empty.shape:
        problem = f"has shape {list(tensor.shape)}, not {list(empty.shape)}"
        raise InputError(file.path, problem, _remedy(name), name)
    if empty.is_floating_point() and not tensor.is_floating_point():
        remedy = "pass the weights as floating-point numbers, from before they were converted"
        raise InputError(file.path, f"holds {tensor.dtype} in place of weights", remedy, name)
    if empty.is_floating_point() and not tensor.float().isfinite().all():
        remedy = "download it again, or pass a checkpoint from before its training diverged"
        raise InputError(file.path, "holds NaN or infinity", remedy, name)
    converted = f", {tensor.dtype} -> {empty.dtype}" if tensor.dtype != empty.dtype else ""
    return tensor.to(empty.dtype), f"{name} {list(tensor.shape)}{converted}"


def _remedy(name: str) -> str:
    if LOW_RESOLUTION_LACKS in name:
        return "this is one of BTNet's networks for images below 112 px; pass its 112 px network"
    return "check --as: other systems have networks of nearly the same names"


def _again(file: Checkpoint, prefixes: list[str], names: set[str]) -> set[str]:
    """Names of further copies of the network. Raise InputError where they are no copies."""
    first, *others = prefixes
    again = set()
    for other in others:
        for name in names:
            here, there = file.tensors.get(first + name), file.tensors.get(other + name)
            if here is None and there is None:
                continue
            if here is None or there is None or not torch.equal(here, there):
                raise InputError(
                    file.path,
                    f"holds two networks that differ, under {first!r} and {other!r}",
                    "save the state dict of the one you mean in a file of its own",
                )
            again.add(other + name)
    return again
