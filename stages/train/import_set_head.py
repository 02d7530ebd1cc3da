"""The aggregation module in a FaceCoresetNet checkpoint, beside its trunk."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from stages.core.errors import InputError
from stages.heads import coreset
from stages.train.import_files import Checkpoint
from stages.train.import_network import fill, prefixes_of
from stages.train.import_strangers import require_no_strangers

HEAD = "coreset"
ANCHOR = "decoder_layer1.self_attn1.in_proj_weight"
POINTS = 3  # K of the paper and of the published model; no tensor tells it
UNTRAINED = {"epochs": 0, "batch": 2, "lr": 1e-4, "source": "images"}  # the stage head trains none


class SetHead(NamedTuple):
    """A set head with the weights of a checkpoint.

    Attributes:
        head: with these weights.
        header: of its weights file, without contract and trunk.
        used: names of the checkpoint's tensors that are in it.
        dead: names of those that the published code never reads.
        report: a line a tensor.
    """

    head: nn.Module
    header: dict[str, Any]
    used: set[str]
    dead: set[str]
    report: list[str]


def find_set_head(file: Checkpoint, embedding: int) -> SetHead:
    """The module in `file` for embeddings of that many dimensions.

    Raise InputError if there is none, or not all of it.
    """
    prefixes = prefixes_of(file, ANCHOR)
    if not prefixes:
        remedy = "import a trunk alone by --as adaface"
        raise InputError(file.path, f"holds no aggregation module: no tensor {ANCHOR}", remedy)
    prefix = prefixes[0]
    said = file.arguments.get("coreset_size")
    points = said if isinstance(said, int) else POINTS
    settings = coreset.Params(points=points, **UNTRAINED)
    build = {"shape": None, "embedding": embedding}
    head = coreset.build(settings, **build)
    names = {name: prefix + name for name in head.state_dict()}
    dead = {
        name for name in file.tensors if name.startswith(tuple(prefix + d for d in coreset.DEAD))
    }
    known = set(head.state_dict()) | {name.removeprefix(prefix) for name in dead}
    require_no_strangers(file, prefix, known, HEAD)
    report = [f"{HEAD}: {line}" for line in fill(head, file, names)]
    source = "hyper_parameters" if said == points else "the paper; the file does not say"
    report.append(f"{HEAD}: points <- {points} ({source})")
    header = {"head": HEAD, "settings": settings.model_dump(), "build": build}
    return SetHead(head, header, set(names.values()), dead, report)
