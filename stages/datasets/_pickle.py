"""Pickles from outside: plain data and NumPy arrays of numbers, and nothing that could run.

The pickle's own names are never looked up. A few are admitted, and each is answered by code of this
file: even NumPy's own rebuilding is not used, because a forged dtype makes it read foreign memory.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from stages.core.bounded import bounded
from stages.core.errors import InputError

TEXT = re.compile(r"[US][1-9][0-9]{0,3}|O8?")  # names of dtypes of text, and of Python strings
NUMBERS = {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"}


def load_plain(path: Path, remedy: str, texts: bool = False) -> Any:
    """What the pickle holds: lists, tuples, dicts, sets, bytes, bytearray, str, bool, int, float,
    None and NumPy arrays and scalars of numbers. Text of Python 2 comes as bytes.

    Args:
        path: the file.
        remedy: what to say of a file that is refused.
        texts: admit NumPy arrays of text too, also those of Python strings.

    Raises:
        InputError: no file, no pickle, cut short, or it asks for anything else.
    """
    try:
        with open(path, "rb") as file, bounded(path, remedy):
            unpickler = _Unpickler(file, encoding="bytes")
            unpickler.texts = texts
            return unpickler.load()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "file not found", remedy) from None
    except Exception as fault:  # a damaged pickle fails in a dozen ways, none of them ours
        raise InputError(path, f"no pickle of plain data ({fault})", remedy) from None


def _plain_keys(opcode: bytes, keys: slice) -> Callable[[_Unpickler], None]:
    """The opcode, but for `keys` of the stack that are nested: to hash them may take years."""
    load = pickle._Unpickler.dispatch[opcode[0]]

    def checked(unpickler: _Unpickler) -> None:
        if any(isinstance(key, tuple | frozenset) for key in unpickler.stack[keys]):
            raise pickle.UnpicklingError("has a tuple or set for a key")
        load(unpickler)

    return checked


class _Unpickler(pickle._Unpickler):
    """In Python: the one in C fills gigabytes when nine forged bytes name a far memo."""

    dispatch = pickle._Unpickler.dispatch | {
        opcode[0]: _plain_keys(opcode, keys)
        for opcode, keys in {
            pickle.SETITEM: slice(-2, -1),
            pickle.SETITEMS: slice(0, None, 2),
            pickle.DICT: slice(0, None, 2),
            pickle.ADDITEMS: slice(None),
            pickle.FROZENSET: slice(None),
        }.items()
    }

    texts = False

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        if self.texts and (module, name) == ("numpy", "dtype"):
            return _Admitted(_TextType)
        return _Admitted(ADMITTED[module, name])


class _Admitted:
    """A function that a pickle may call but neither change nor look into."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("sets the state of a function")


class _Type:
    """Stands for a numpy.dtype of numbers."""

    def __init__(self, code: Any, *_: Any) -> None:
        code = code.decode("ascii") if isinstance(code, bytes) else code
        if code not in NUMBERS:
            raise pickle.UnpicklingError(f"asks for arrays of {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"asks for byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(order)


class _TextType(_Type):
    """Stands for a numpy.dtype of numbers or of text; that of Python strings has no `dtype`."""

    def __init__(self, code: Any, *_: Any) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if isinstance(text, str) and TEXT.fullmatch(text):
            self.dtype = np.dtype(text) if text[0] in "US" else None
        else:
            super().__init__(code)

    def __setstate__(self, state: tuple) -> None:
        if self.dtype is not None:
            super().__setstate__(state)


class _Array(np.ndarray):
    """An array that takes its state only if it is one of numbers, or of text where admitted."""

    def __setstate__(self, state: tuple) -> None:
        *_, shape, kind, is_fortran, data = state
        if isinstance(kind, _TextType) and kind.dtype is None:
            if not (isinstance(data, list) and all(isinstance(text, str) for text in data)):
                raise pickle.UnpicklingError("asks for an array of objects")
            texts = np.array(data, str)
            super().__setstate__((shape, texts.dtype, is_fortran, texts.tobytes()))
            return
        if not (isinstance(kind, _Type) and isinstance(data, bytes)):
            raise pickle.UnpicklingError("asks for an array of objects")
        super().__setstate__((shape, kind.dtype, is_fortran, data))


def _new_array(*_: Any) -> _Array:
    return _Array(0, np.uint8)


def _from_buffer(data: bytes, kind: _Type, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)


def _scalar(kind: _Type, data: bytes) -> np.generic:
    return np.frombuffer(data, kind.dtype)[0]


def _encode(text: str, codec: str | bytes = "latin1") -> bytes:
    """How Python 3 writes bytes for Python 2, which has no such opcode."""
    if codec not in ("latin1", "latin-1", b"latin1", b"latin-1"):
        raise pickle.UnpicklingError(f"asks for codec {codec!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _bytearray(content: bytes | str = b"", codec: str = "latin1") -> bytearray:
    return bytearray(_encode(content, codec) if isinstance(content, str) else content[:])


ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "bytearray"): _bytearray,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _new_array,
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
}
