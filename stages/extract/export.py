"""A trained model as one ONNX file that other programs run: image in, embedding and norm out.

    python -m stages.extract.export face.onnx
    python -m stages.extract.export face_14.onnx --resolution 14
    python -m stages.extract.export face_kappa.onnx --head scf

The file computes what the stage extract writes, from images that are cropped and normalised
already; its metadata say how (docs/export.md).
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_file
from stages.core.params import read_params
from stages.extract.head import load_head
from stages.networks._files import WEIGHTS, fingerprint, load_branch, load_trunk, require_trunk
from stages.networks._staged import IMAGE_CHANNELS, Branch, Trunk

PACKAGES = ("onnx", "onnxscript")
INSTALL = f"pip install {' '.join(PACKAGES)} onnxruntime -c requirements-dev.txt"
OPSET = 18  # version of ONNX's operators: that of ONNX Runtime 1.14 and later
INPUT, BATCH = "images", "batch"
BRANCHES = Path("models/distill")
CPU = torch.device("cpu")


class Exported(nn.Module):
    """Images [B, 3, s, s] -> embedding [B, E], norm [B], and a head's confidences.

    Args:
        trunk: folded.
        branch: folded, and its map goes to the trunk; else images do.
        head: of the trunk's last map.
        confidences: of the head's output, by name.
    """

    def __init__(
        self,
        trunk: Trunk,
        branch: Branch | None = None,
        head: nn.Module | None = None,
        confidences: Callable[[Tensor], dict[str, Tensor]] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.branch = branch
        self.head = head
        self.confidences = confidences

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.branch is None:
            body = self.trunk.body(images)
        else:
            body = self.trunk.resume_body(self.branch(images), self.branch.depth)
        embedding = self.trunk.embed(body)
        outputs = {"embedding": embedding, "norm": embedding.norm(dim=1)}
        return outputs if self.head is None else outputs | self.confidences(self.head(body))


def main(
    out: str, trunk: str | None = None, resolution: int | None = None, head: str | None = None
) -> None:
    """Write a trained model as ONNX, with what it must be fed in the metadata."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise InputError(package, "this package is not installed", INSTALL)
    if resolution is not None and head is not None:
        remedy = "export two files: a head reads the trunk's own map of 112 px images"
        raise InputError("the command line", "--resolution and --head together", remedy)
    folder = Path("models") / (trunk or read_params()["trunk"])
    model, metadata = assemble(folder, resolution, head)
    with atomic_file(out) as scratch:
        names = write_onnx(model, metadata, scratch)
    side, embedding = metadata["size"], metadata["embedding"]
    print(f"{out}: {INPUT} [{BATCH}, 3, {side}, {side}] -> {', '.join(names)}; E = {embedding}")
    print(f"fed {metadata['colour']}, (x - {metadata['mean']}) / {metadata['scale']}")


def assemble(
    folder: Path, resolution: int | None = None, head: str | None = None
) -> tuple[Exported, dict[str, str]]:
    """The model of a trunk, or of its branch or head, in eval mode; and the file's metadata.

    Raise InputError if one of them is missing or does not belong to the trunk in `folder`.
    """
    loaded = load_trunk(folder)
    metadata: dict[str, Any] = loaded.contract.as_dict()
    metadata |= {"network": loaded.header["network"], "trunk": fingerprint(folder)}
    model = Exported(loaded.family.fold(loaded.network))
    if resolution is not None:
        metadata["size"] = resolution
        model = _with_branch(model, folder, resolution)
    if head is not None:
        metadata["head"] = head
        model = _with_head(model, folder, head)
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    return model.eval().requires_grad_(False), texts


def _with_branch(model: Exported, trunk: Path, resolution: int) -> Exported:
    stored = BRANCHES / str(resolution)
    _require_branch(stored)
    loaded = load_branch(stored)
    require_trunk(stored / WEIGHTS, loaded.header, trunk)
    network = loaded.family.fold(loaded.network)
    if isinstance(network, Trunk):  # distilled by the reference's rule
        return Exported(network)
    return Exported(model.trunk, branch=network)


def _require_branch(stored: Path) -> None:
    there = sorted((file.parent.name for file in BRANCHES.glob(f"*/{WEIGHTS}")), key=int)
    if stored.name not in there:
        remedy = (
            f"give one of the resolutions that are there ({', '.join(there[::-1]) or 'none'}); "
            "`resolutions` in params.yaml says which branches `dvc repro` trains: 28, 14, 7"
        )
        raise InputError(
            stored / WEIGHTS, f"file not found: no branch for {stored.name} px", remedy
        )


def _with_head(model: Exported, trunk: Path, name: str) -> Exported:
    stored = Path("models/head") / name
    heads, head, header = load_head(stored, CPU)
    require_trunk(stored / WEIGHTS, header, trunk)
    if not hasattr(heads, "confidences"):
        remedy = "export the trunk alone: this head describes sets of embeddings, not images"
        raise InputError(stored, "says nothing of single images", remedy)
    return Exported(model.trunk, head=head, confidences=heads.confidences)


def write_onnx(model: Exported, metadata: dict[str, str], path: Path) -> list[str]:
    """Write `model` for batches of any size; return the names of its outputs.

    Equal models give equal bytes: of where and how it was traced nothing is kept.
    """
    side = int(metadata["size"])
    example = torch.zeros(2, IMAGE_CHANNELS, side, side)  # one image would fix the batch to 1
    names = list(model(example))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # operators of other packages
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=names,
            dynamic_shapes={INPUT: {0: BATCH}},
            verbose=False,
        )
    _forget_origin(program.model)
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)
    return names


def _forget_origin(model: Any) -> None:
    """Drop the stack traces and names of source files that torch attaches to every node."""
    for part in (model, model.graph, *model.graph.all_nodes()):
        part.metadata_props.clear()
        part.doc_string = None
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.metadata_props.clear()


if __name__ == "__main__":
    start(
        main,
        "out",
        options={
            "--trunk": {"metavar": "NAME", "help": "models/NAME; params.yaml's where absent"},
            "--resolution": {
                "type": int,
                "metavar": "R",
                "help": "the branch for images of R px: 28, 14 or 7, if it is in models/distill",
            },
            "--head": {"metavar": "NAME", "help": "an uncertainty head: models/head/NAME"},
        },
    )
