"""Weights on disk: safetensors with one JSON header, byte-identical for equal contents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.errors import InputError
from stages.core.files import atomic_file

if TYPE_CHECKING:
    import torch

HEADER = "faceline"  # one metadata key: safetensors writes several in random order
KEY, SCHEMA = "schema", 1  # form of the header; files from before it was numbered have the same


def save_weights(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """Write named tensors and a JSON header that says what they are, with its schema."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as scratch:
        told = json.dumps(header | {KEY: SCHEMA}, sort_keys=True)
        save_file(plain, scratch, metadata={HEADER: told})


def load_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Named tensors and header. Raise InputError if the file is missing, cut off or not ours."""
    from safetensors.torch import load_file

    header = read_header(path)
    return load_file(path), header


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a weights file without its schema; reads no tensor and needs no torch.

    Raises:
        InputError: the file is missing, cut off or not ours, or a newer version wrote it.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "run the stage that writes it again, or import the checkpoint again"
    if not Path(path).is_file():
        raise InputError(path, "file not found", remedy)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError as fault:
        raise InputError(path, f"not a whole safetensors file ({fault})", remedy) from None
    if HEADER not in metadata:
        raise InputError(path, "has no input contract", "import it with import_checkpoint")
    try:
        header = json.loads(metadata[HEADER])
    except (ValueError, RecursionError) as fault:
        raise InputError(path, f"its header is no JSON ({fault})", remedy) from None
    if not isinstance(header, dict):
        raise InputError(path, "its header is no mapping", remedy)
    schema = header.pop(KEY, SCHEMA)
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        problem = f"its header has schema {schema!r}, and this version of faceline reads {SCHEMA}"
        raise InputError(path, problem, f"update faceline, or {remedy}", KEY)
    return header
