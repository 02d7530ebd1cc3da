"""The pickle inside a checkpoint, read without looking up or calling anything that it names.

Tensors are rebuilt by code of this file. A few data types of the standard library and every class
of another package (a trainer's callbacks, arguments, NumPy numbers) become an object that does
nothing; the rest of the standard library is refused, since only a hostile file asks for it.
"""

from __future__ import annotations

import pickle
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

DATA = {
    *("argparse.Namespace", "types.SimpleNamespace", "functools.partial", "_codecs.encode"),
    *(f"builtins.{name}" for name in ("bool", "complex", "dict", "float", "frozenset", "int")),
    *(f"builtins.{name}" for name in ("list", "object", "range", "set", "slice", "str", "tuple")),
    *(f"collections.{name}" for name in ("Counter", "UserDict", "deque")),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(
        f"{module}.{system}Path"
        for module in ("pathlib", "pathlib._local")
        for system in ("", "Posix", "PurePosix", "Windows", "PureWindows")
    ),
    *("decimal.Decimal", "fractions.Fraction", "time.struct_time", "uuid.UUID"),
}
DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
STORAGES = {
    f"{name}Storage": dtype
    for name, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexDouble": torch.complex128,
        "ComplexFloat": torch.complex64,
        "QInt8": torch.int8,  # these three are skipped: no tensor is made of them
        "QUInt8": torch.uint8,
        "QInt32": torch.int32,
        "Untyped": torch.uint8,
    }.items()
}
PLAIN_TENSORS = {
    *("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter"),
    "torch.nn.parameter.Buffer",
}
LONGEST_KEY = 64  # bits of a number that is a key


class Stub(dict):
    """Stands for an object of the class `name`: keeps items under keys, and nothing else."""

    name = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Storage(NamedTuple):
    """The bytes [n] of some tensors, uint8, and the type of number that they are."""

    raw: Tensor
    dtype: torch.dtype


class _Call(NamedTuple):
    """A function of this file that a pickle may call."""

    function: Callable[..., Any]


class ForbiddenError(pickle.UnpicklingError):
    """The pickle asks for something of the standard library that is not data."""

    def __init__(self, name: str) -> None:
        super().__init__(f"asks for {name}")
        self.name = name


class Unpickler(pickle._Unpickler):
    """In Python, so that each opcode that calls, sets or hashes can be answered here.

    Args:
        storage: the bytes that a persistent id names.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: BinaryIO, storage: Callable[[tuple], Any] | None = None) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self._storage = storage

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 2 or self._storage is None:
            raise pickle.UnpicklingError("has a persistent id of unknown form")
        return pid[1] if pid[0] == "module" else self._storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        module, name = NAME_MAPPING.get((module, name), (module, name))  # as of Python 2
        module = IMPORT_MAPPING.get(module, module)
        full = f"{module}.{name}"
        if full in CALLS:
            return _Call(CALLS[full])
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if module.partition(".")[0] in sys.stdlib_module_names and full not in DATA:
            raise ForbiddenError(full)
        return type("Stub", (Stub,), {"name": full})

    def _made(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, _Call) and isinstance(arguments, tuple):
            return function.function(*arguments)
        if isinstance(function, type) and issubclass(function, Stub):
            return function()
        raise pickle.UnpicklingError("calls what is not a function")

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(self._made(klass, tuple(args)))

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_newobj()

    def load_build(self) -> None:
        """An object's attributes, which are never weights: a state dict has `_metadata`."""
        self.stack.pop()

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _set(self.stack[-1], items)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        _set(self.stack[-1], items)

    def load_append(self) -> None:
        value = self.stack.pop()
        _extend(self.stack[-1], [value])

    def load_appends(self) -> None:
        values = self.pop_mark()
        _extend(self.stack[-1], values)

    def load_additems(self) -> None:
        """Items of a set, which are never weights."""
        self.pop_mark()

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(frozenset())

    dispatch |= {
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
    }


def _set(mapping: Any, items: list) -> None:
    """Only keys that are quick to hash; weights stand under text alone."""
    if not isinstance(mapping, dict):
        raise pickle.UnpicklingError("sets items of what is not a mapping")
    for key, value in zip(items[::2], items[1::2], strict=True):
        is_number = isinstance(key, int) and key.bit_length() <= LONGEST_KEY
        if is_number or key is None or isinstance(key, str | float | bytes | Stub | type):
            mapping[key] = value


def _extend(target: Any, values: list) -> None:
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, Stub):
        raise pickle.UnpicklingError("appends to what is not a list")


def _mapping(*arguments: Any) -> dict:
    """An OrderedDict, of which Python 2 gives the items as pairs."""
    pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
    return {key: value for key, value in pairs if isinstance(key, str)}


def _zeros(*arguments: Any) -> Stub:
    """`bytes` or `bytearray`; of a number they are as many bytes."""
    if arguments and isinstance(arguments[0], int):
        raise pickle.UnpicklingError(f"asks for {arguments[0]} bytes of memory")
    return Stub()


def _reconstructed(kind: Any, *_: Any) -> Stub:
    return kind() if isinstance(kind, type) and issubclass(kind, Stub) else Stub()


def _tensor(
    storage: Any,
    offset: int,
    size: tuple,
    stride: tuple,
    _requires_grad: Any = False,
    _hooks: Any = None,
    metadata: Any = None,
) -> Tensor | Stub:
    """torch._utils._rebuild_tensor and its second version; torch checks the bounds."""
    return _view(storage, storage.dtype, offset, size, stride, metadata)


def _tensor_of_dtype(
    storage: Any,
    offset: int,
    size: tuple,
    stride: tuple,
    _requires_grad: Any,
    _hooks: Any,
    dtype: torch.dtype,
    metadata: Any = None,
) -> Tensor | Stub:
    """torch._utils._rebuild_tensor_v3."""
    return _view(storage, dtype, offset, size, stride, metadata)


def _view(
    storage: Storage, dtype: torch.dtype, offset: int, size: tuple, stride: tuple, metadata: Any
) -> Tensor | Stub:
    if metadata:  # the numbers stand for their negatives or conjugates
        return Stub()
    return storage.raw.view(dtype).as_strided(size, stride, offset)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _of_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """A tensor with attributes; of a subclass whose numbers may mean something else, a stub."""
    is_tensor = isinstance(kind, type) and issubclass(kind, Stub) and kind.name in PLAIN_TENSORS
    rebuilds = isinstance(function, _Call) and function.function in (_tensor, _tensor_of_dtype)
    if is_tensor and rebuilds:
        return function.function(*arguments)
    return _reconstructed(kind)


CALLS: dict[str, Callable[..., Any]] = {
    "builtins.bytearray": _zeros,
    "builtins.bytes": _zeros,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda *_: {},
    "copyreg._reconstructor": _reconstructed,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
}
