"""Tensors of checkpoint files from elsewhere, read without running any code that they hold.

torch.load(weights_only=True) builds tensors and plain containers alone. What trainers leave beside
them (callbacks, arguments, NumPy numbers) is let in by name and becomes an object that does
nothing.
"""

from __future__ import annotations

import reprlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.core.bounded import bounded
from stages.core.errors import InputError

BOOKKEEPING = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
AGAIN = "download it again"
DEEPEST = 4  # mappings within mappings: trainers nest two, a hostile file may nest itself


class _Nothing:
    """Stands for an object that holds no weights; takes anything and keeps nothing."""

    def __new__(cls, *args: Any, **more: Any) -> _Nothing:
        return object.__new__(cls)

    def __init__(self, *args: Any, **more: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


@dataclass(frozen=True)
class Checkpoint:
    """What one file holds.

    Attributes:
        path: of the file.
        tensors: by name, the keys of mappings within mappings joined by dots. A file that is one
            tensor holds it as `weight`.
        others: keys of the outermost mapping under which there is no tensor.
        arguments: of the training, which Lightning keeps as `hyper_parameters`.
    """

    path: Path
    tensors: dict[str, Tensor]
    others: list[str]
    arguments: Mapping[Any, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors in `path`, whatever wraps them. Raise InputError if it cannot be read safely."""
    content = _load(path)
    if isinstance(content, Tensor):
        content = {"weight": content}
    if not isinstance(content, Mapping):
        raise InputError(path, "holds neither tensors nor a mapping of them", "pass a state dict")
    tensors = dict(_flatten(content))
    if not tensors:
        raise InputError(path, "holds no tensor", "pass the file of the weights")
    found = {name.split(".")[0] for name in tensors}
    names = [key if isinstance(key, str) else reprlib.repr(key) for key in content]
    others = [name for name in names if name.split(".")[0] not in found]
    arguments = content.get("hyper_parameters")
    return Checkpoint(path, tensors, others, arguments if isinstance(arguments, Mapping) else {})


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InputError(path, "file not found", "check the path")
    _require_intact(path)
    admitted = [(_Nothing, name) for name in BOOKKEEPING]
    try:
        with torch.serialization.safe_globals(admitted), bounded(path, AGAIN):
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as fault:  # the bytes are anybody's, and so is what they make torch raise
        raise InputError(path, *_explained(str(fault))) from None


def _require_intact(path: Path) -> None:
    """A ZIP file has a checksum of every tensor, at which torch does not look."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive, bounded(path, AGAIN):
            wrong = archive.testzip()
    except InputError:
        raise
    except Exception as fault:  # a damaged archive fails in a dozen ways, none of them ours
        raise InputError(path, f"not a whole file of torch.save ({fault})", AGAIN) from None
    if wrong:
        raise InputError(path, "damaged: its checksum is another", AGAIN, wrong)


def _explained(fault: str) -> tuple[str, str]:
    """Problem and remedy."""
    _, found, name = fault.partition("GLOBAL ")
    if found:
        return (
            f"holds {name.split()[0]!r}, which could run code",
            "if you trust its origin, load it there and save its state dict alone "
            "(torch.save(model.state_dict(), FILE))",
        )
    first = fault.strip().splitlines()[0] if fault.strip() else "no reason given"
    reason = "" if "weights_only" in first else f" ({first})"  # torch's advice is to run the file
    return f"not a whole file of torch.save{reason}", AGAIN


def _flatten(node: Mapping[Any, Any], prefix: str = "", depth: int = 1) -> Iterator:
    """(dotted name, tensor) of all plain tensors under text keys."""
    for key, value in node.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, Tensor) and _is_plain(value):
            yield prefix + key, value.detach()
        elif isinstance(value, Mapping) and depth < DEEPEST:
            yield from _flatten(value, f"{prefix}{key}.", depth + 1)


def _is_plain(tensor: Tensor) -> bool:
    """Dense, and no larger than what the file has of it: a few bytes may claim to be terabytes."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
