"""A device that is not the CPU, made of the CPU: what mixes both fails as it would on a GPU.

Tensors of the device `elsewhere` wrap tensors of the CPU. An operation on both raises RuntimeError
but for copies, single numbers and indices, and so does NumPy's view of one. `torch.inference_mode`
knows no such wrappers; here it stands for `no_grad`.

`python -m tests.elsewhere DEVICE` runs the stages that have a device in the current folder.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "elsewhere"
COPIES = {"aten::copy_", "aten::_to_copy", "aten::to"}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_"}
CPU = torch.device("cpu")


class Elsewhere(torch.Tensor):
    """A tensor of the device; `inner` holds its numbers."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Elsewhere:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        _refuse_mixture(function, args, leaves)
        wrapped = {id(x.inner): x for x in leaves if isinstance(x, Elsewhere)}
        devices = [x for x in leaves if isinstance(x, torch.device)]
        there = devices[0].type == NAME if devices else bool(wrapped)
        args, kwargs = tree_map(_inner, (args, kwargs))

        def outer(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            if id(value) in wrapped:  # changed in place, or not moved at all
                return wrapped[id(value)] if there else value.clone()
            return Elsewhere(value) if there else value

        return tree_map(outer, function(*args, **kwargs))

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *args, **kwargs) -> NoReturn:
        raise TypeError(f"a tensor of the device {NAME} is no array")

    __array__ = numpy

    def __reduce_ex__(self, protocol) -> Any:
        return self.inner.__reduce_ex__(protocol)


def _inner(value: Any) -> Any:
    if isinstance(value, torch.device):
        return CPU
    return value.inner if isinstance(value, Elsewhere) else value


def _refuse_mixture(function, args: tuple, leaves: list) -> None:
    name = function._schema.name
    if name in INDEXED:
        leaves = [args[0], *args[2:3]]
    here = [x for x in leaves if isinstance(x, torch.Tensor) and not isinstance(x, Elsewhere)]
    if name not in COPIES and any(x.dim() for x in here):
        raise RuntimeError(f"{name}: tensors of {NAME} and of the CPU")


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def register() -> torch.device:
    """Make the device known to torch, once a process."""
    _setup_privateuseone_for_python_backend(rename=NAME, backend_module=_Backend())

    def empty(size, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
        form = memory_format or torch.contiguous_format
        return Elsewhere(torch.empty(size, dtype=dtype, memory_format=form))

    def empty_strided(size, stride, dtype=None, layout=None, device=None, pin_memory=None):
        return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))

    def copy_from(source, target, non_blocking=False):
        _inner(target).copy_(_inner(source))
        return target

    global _library  # what it holds is forgotten with it
    _library = torch.library.Library("aten", "IMPL")
    for name, make in (
        ("empty.memory_format", empty),
        ("empty_strided", empty_strided),
        ("_copy_from", copy_from),
    ):
        _library.impl(name, make, "PrivateUse1")
    torch.inference_mode = torch.no_grad
    return torch.device(NAME, 0)


def main(name: str) -> None:
    """Train, distil, learn heads and extract as params.yaml says; on `cpu`, or on `elsewhere`."""
    from stages.core import seeding
    from stages.core.params import read_params

    if name == NAME:
        device, prepare = register(), seeding.prepare

        def prepare_elsewhere(seed: int, threads: int, _: str, instructions: str) -> torch.device:
            prepare(seed, threads, "cpu", instructions)
            return device

        seeding.prepare = prepare_elsewhere
    params = read_params()
    from stages.distill.__main__ import main as distill
    from stages.extract.__main__ import main as extract
    from stages.head.__main__ import main as learn
    from stages.train.__main__ import main as train

    train()
    for side in params["resolutions"]:
        distill(str(side))
    for head in params["heads"]:
        learn(head)
    for what in ("images", "heads"):
        extract(what, params["test_sets"][0])


if __name__ == "__main__":
    main(*sys.argv[1:])
