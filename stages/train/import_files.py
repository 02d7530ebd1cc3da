"""Tensors of checkpoint files from elsewhere, read without running any code that they hold."""

from __future__ import annotations

import pickle
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from stages.core.bounded import bounded
from stages.core.errors import InputError
from stages.train.import_archive import DamagedError, load
from stages.train.import_containers import is_safetensors, python, require_weights
from stages.train.import_pickle import ForbiddenError, Stub

AGAIN = "download it again"
DEEPEST = 8  # mappings within mappings: trainers nest four, a hostile file may nest itself
MOST_ENTRIES = 1_000_000  # a kilobyte that nests one mapping many times has billions
RUN_THERE = """import torch; m = torch.load({file!r}, map_location='cpu', weights_only=False); \
torch.save(m%s, {made!r})"""
STATE_DICT = "['state_dict']"
TOLD = {  # classes that stand for tensors, and what a person calls them
    "torch._utils._rebuild_qtensor": "a quantised tensor",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
}


TOO_DEEP = f"a mapping more than {DEEPEST} levels deep"
ARRAY = "an object of the class numpy"


@dataclass(frozen=True)
class Checkpoint:
    """What one file holds.

    Attributes:
        path: of the file.
        tensors: by name, the keys of mappings within mappings joined by dots. A file that is one
            tensor holds it as `weight`.
        others: keys of the outermost mapping under which there is no tensor.
        arguments: of the training, which Lightning keeps as `hyper_parameters`.
        opaque: what else stands among tensors, by name: objects and tensors that cannot be read.
    """

    path: Path
    tensors: dict[str, Tensor]
    others: list[str]
    arguments: Mapping[Any, Any] = field(default_factory=dict)
    opaque: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors in `path`, whatever wraps them. Raise InputError if it cannot be read safely."""
    content = _load(path)
    if isinstance(content, Tensor):
        content = {"weight": content}
    if isinstance(content, Stub) and not content:
        raise _is_module(path, content.name, ".state_dict()")
    if not isinstance(content, Mapping):
        raise InputError(path, "holds neither tensors nor a mapping of them", "pass a state dict")
    _require_countable(path, content)
    leaves = dict(_flatten(content))
    tensors = {name: leaf.detach() for name, leaf in leaves.items() if isinstance(leaf, Tensor)}
    if not tensors:
        for key, value in content.items():
            is_object = isinstance(value, Stub) and not value and value.name not in TOLD
            if is_object and str(key).isidentifier():
                raise _is_module(path, value.name, f"[{key!r}].state_dict()", f" under {key!r}")
        if TOO_DEEP in leaves.values():
            remedy = "save the state dict itself, not what wraps it"
            raise InputError(path, f"holds {TOO_DEEP}, and no tensor above it", remedy)
        if any(str(leaf).startswith(ARRAY) for leaf in leaves.values()):
            problem = "holds NumPy arrays in place of tensors"
            remedy = "save each as `torch.from_numpy(array)`, under its name, with torch.save"
            raise InputError(path, problem, remedy)
        raise InputError(path, "holds no tensor", "pass the file of the weights")
    found = {name.split(".")[0] for name in tensors}
    names = [key if isinstance(key, str) else reprlib.repr(key) for key in content]
    others = [name for name in names if name.split(".")[0] not in found]
    arguments = content.get("hyper_parameters")
    opaque = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, str)}
    return Checkpoint(
        path, tensors, others, arguments if isinstance(arguments, Mapping) else {}, opaque
    )


def _is_module(path: Path, name: str, of: str, where: str = "") -> InputError:
    return InputError(
        path,
        f"holds an object of the class {name}{where} in place of tensors, which only its own code "
        "can load, and loading it could run code",
        f"if you trust its origin, save its state dict alone where that code is: "
        f"`{python(RUN_THERE % of, path)}`",
    )


def _load(path: Path) -> Any:
    if not path.exists():
        raise InputError(path, "file not found", "check the path")
    require_weights(path)
    try:
        with bounded(path, AGAIN):
            return _safetensors(path) if is_safetensors(path) else load(path)
    except InputError:
        raise
    except DamagedError as fault:
        raise InputError(path, "damaged: its checksum is another", AGAIN, str(fault)) from None
    except ForbiddenError as fault:
        remedy = (
            "if you trust its origin, load it there and save its state dict alone, such as "
            f"`{python(RUN_THERE % STATE_DICT, path)}`"
        )
        raise InputError(path, f"holds {fault.name!r}, which could run code", remedy) from None
    except Exception as fault:  # the bytes are anybody's, and so is what they make readers raise
        lines = str(fault).strip().splitlines()
        reason = f" ({lines[0]})" if lines and isinstance(fault, pickle.UnpicklingError) else ""
        kind = "safetensors file" if is_safetensors(path) else "file of torch.save"
        raise InputError(path, f"not a whole {kind}{reason}", AGAIN) from None


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _require_countable(path: Path, content: Mapping[Any, Any]) -> None:
    """Raise InputError if `content` has more entries than any checkpoint."""
    level: list[tuple[Mapping[Any, Any], int]] = [(content, 1)]  # and how often each is in it
    total = 0
    for _ in range(DEEPEST):
        below: dict[int, tuple[Mapping[Any, Any], int]] = {}
        for node, times in level:
            total += times * len(node)
            for value in node.values():
                if isinstance(value, Mapping):
                    before = below.get(id(value), (value, 0))[1]
                    below[id(value)] = (value, before + times)
        level = list(below.values())
    if total > MOST_ENTRIES:
        problem = f"holds {total} entries, mappings within mappings counted each time"
        raise InputError(path, problem, "save the state dict of the network alone")


def _flatten(node: Mapping[Any, Any], prefix: str = "", depth: int = 1) -> Iterator:
    """(dotted name, tensor or what it is instead) of all under text keys."""
    for key, value in node.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, Stub) and not value:
            yield prefix + key, TOLD.get(value.name, f"an object of the class {value.name}")
        elif isinstance(value, Mapping):
            if depth < DEEPEST:
                yield from _flatten(value, f"{prefix}{key}.", depth + 1)
            elif value:
                yield prefix + key, TOO_DEEP
        elif isinstance(value, Tensor) and _is_plain(value):
            yield prefix + key, value
        elif isinstance(value, Tensor):
            yield prefix + key, "a tensor larger than its numbers in the file"
        else:
            yield prefix + key, f"a {type(value).__name__}"


def _is_plain(tensor: Tensor) -> bool:
    """No larger than what the file has of it: a few bytes may claim to be terabytes."""
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
