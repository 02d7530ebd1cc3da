"""Plain data passes, everything else is refused, and nothing runs."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.datasets._pickle import load_plain
from tests.datasets.samples import write

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = [
    [b"", b"ab\xff", "text", None, True, False, 3, 10**30, -1.5],
    (b"one", [b"two", (b"three",)]),
    bytearray(b"abc"),
    {"a": 1},
]
ARRAYS = [
    np.arange(6, dtype=np.uint8),
    np.arange(6.0).reshape(2, 3).T,
    np.array([True, False]),
    np.arange(3, dtype=">i4"),
    np.zeros((0, 2), np.float32),
    np.float32(2.5),
    np.bool_(True),
    np.int64(-7),
]


def load(folder: Path, content: bytes) -> Any:
    return load_plain(write(folder / "pack.bin", content), "get the pack again")


def refused(folder: Path, content: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        load(folder, content)
    assert caught.value.file.endswith("pack.bin")
    assert caught.value.remedy == "get the pack again"
    return caught.value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data(tmp_path: Path, value: Any, protocol: int) -> None:
    loaded = load(tmp_path, pickle.dumps(value, protocol))
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", ARRAYS, ids=repr)
def test_arrays_of_numbers(tmp_path: Path, value: np.ndarray, protocol: int) -> None:
    loaded = load(tmp_path, pickle.dumps([value], protocol))[0]
    assert isinstance(loaded, np.ndarray | np.generic)
    assert loaded.dtype.newbyteorder("=") == value.dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded, value)


def test_text_of_python_2_is_bytes(tmp_path: Path) -> None:
    assert load(tmp_path, b"\x80\x02]q\x00U\x03\xff\xd8\xffq\x01a.") == [b"\xff\xd8\xff"]


def test_arrays_of_python_2(tmp_path: Path) -> None:
    """numpy.arange(3, dtype=uint8) as Python 2.7 with NumPy 1.11 pickled it, protocol 2."""
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03"
        b"U\x01bq\x04\x87q\x05Rq\x06(K\x01K\x03\x85q\x07cnumpy\ndtype\nq\x08U\x02u1q\tK\x00K\x01"
        b"\x87q\nRq\x0b(K\x03U\x01|q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\rb\x89"
        b"U\x03\x00\x01\x02q\x0etq\x0fb."
    )
    np.testing.assert_array_equal(load(tmp_path, content), np.arange(3, dtype=np.uint8))


class Runs:
    """A pickle that calls a function with one argument."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("deep", [False, True])
def test_nothing_executes(tmp_path: Path, protocol: int, deep: bool) -> None:
    witness = tmp_path / "executed"
    for function, argument in (
        (os.system, f"touch {witness}"),
        (eval, f"open({str(witness)!r}, 'w')"),
        (open, str(witness)),
        (exec, f"open({str(witness)!r}, 'w')"),
    ):
        bomb = Runs(function, *([argument, "w"] if function is open else [argument]))
        value = ([bomb, b"image"], [True]) if deep else bomb
        error = refused(tmp_path, pickle.dumps(value, protocol))
        assert function.__name__ in error.problem
    assert not witness.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "builtins eval",
        "builtins getattr",
        "__builtin__ exec",
        "subprocess Popen",
        "numpy load",
        "numpy.core.multiarray fromfile",
        "numpy.f2py.crackfortran myeval",
        "_codecs decode",
        "stages.datasets._pickle pickle",
        "functools partial",
    ],
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    module, function = name.split()
    assert function in refused(tmp_path, f"c{module}\n{function}\n.".encode()).problem
    stacked = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode()
    stacked += b"\x8c" + bytes([len(function)]) + function.encode() + b"\x93."
    assert function in refused(tmp_path, stacked).problem


def test_an_array_of_addresses_is_refused(tmp_path: Path) -> None:
    """A dtype of objects whose state claims that it has none would make NumPy follow our bytes."""
    honest = pickle.dumps(np.arange(2, dtype=np.int64), 2)
    for kind in ("O8", "V8", "U2", "S8", "M8"):
        forged = honest.replace(b"X\x02\x00\x00\x00i8", struct.pack("<BI", 0x58, 2) + kind.encode())
        assert forged != honest
        assert "asks for arrays of" in refused(tmp_path, forged).problem
    refused(tmp_path, pickle.dumps(np.array([{}], object), 2))
    refused(tmp_path, pickle.dumps(np.zeros(2, "i4,f4"), 2))


def test_an_array_longer_than_its_bytes_is_refused(tmp_path: Path) -> None:
    honest = pickle.dumps(np.arange(3, dtype=np.uint8), 4)
    forged = honest.replace(b"K\x03\x85", b"K\x7f\x85")
    assert forged != honest
    refused(tmp_path, forged)


@pytest.mark.parametrize("state", [b"}b", b"N}\x86b", b"N}(X\x05\x00\x00\x00_callK\x00u\x86b"])
def test_admitted_functions_cannot_be_changed(tmp_path: Path, state: bytes) -> None:
    refused(tmp_path, b"\x80\x02c_codecs\nencode\n" + state + b".")
    honest = pickle.dumps(b"\xff", 2)
    assert load(tmp_path, honest) == b"\xff"


def test_other_codecs_are_refused(tmp_path: Path) -> None:
    honest = pickle.dumps(b"\xff", 2)
    refused(tmp_path, honest.replace(b"latin1", b"rot_13"))


@pytest.mark.parametrize("name", ["bytes", "bytearray"])
def test_bytes_by_count_are_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path, f"cbuiltins\n{name}\n(I99999999999\ntR.".encode())


@pytest.mark.parametrize("keep", [0, 1, 5, 20, -1])
def test_cut_short(tmp_path: Path, keep: int) -> None:
    refused(tmp_path, pickle.dumps([b"a" * 30, True])[:keep])


def test_asking_for_much_memory(tmp_path: Path) -> None:
    refused(tmp_path, b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.")
    assert load(tmp_path, b"Nr\xff\xff\xff\x7f.") is None


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        load_plain(tmp_path / "nowhere.bin", "get the pack again")


def test_the_samples_are_what_they_say() -> None:
    names = [op.name for op, _, _ in pickletools.genops(pickle.dumps(np.arange(2), 2))]
    assert "GLOBAL" in names
    assert "REDUCE" in names
    assert "BUILD" in names


@pytest.mark.parametrize("frame", [b"}%sNs.", b"}(%sNu.", b"\x8f(%s\x90.", b"(%s\x91."])
def test_keys_that_take_years_to_hash_are_refused(tmp_path: Path, frame: bytes) -> None:
    """A tuple of twice a tuple of twice a tuple .., sixty deep."""
    key = b")" + b"2\x86" * 60
    assert "for a key" in refused(tmp_path, b"\x80\x04" + frame.replace(b"%s", key)).problem


def test_a_megabyte_is_not_copied_a_thousand_times(tmp_path: Path) -> None:
    megabyte = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"\x94"
    copies = b"](" + b"cbuiltins\nbytearray\nh\x00\x85R" * 1000 + b"e."
    assert "memory" in refused(tmp_path, b"\x80\x04" + megabyte + copies).problem


@pytest.mark.parametrize("kind", [str, bytes, object])
def test_arrays_of_text_where_they_are_admitted(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"names": np.array(["a", "bc"]).astype(kind)}))
    read = load_plain(path, "fix it", texts=True)["names"].tolist()
    assert read == ([b"a", b"bc"] if kind is bytes else ["a", "bc"])
    with pytest.raises(InputError, match="asks for arrays of"):
        load_plain(path, "fix it")
    path.write_bytes(pickle.dumps(np.array([{}, 1], object)))
    with pytest.raises(InputError, match="asks for an array of objects"):
        load_plain(path, "fix it", texts=True)
