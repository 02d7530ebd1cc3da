"""The two forms of torch.save: a ZIP of a pickle and its storages, or (before 1.6) one stream.

Every size that a file claims is compared with what the file holds before memory is taken.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from stages.train.import_containers import ZIP
from stages.train.import_pickle import Storage, Unpickler

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first thing in a stream of torch.save
PROTOCOL = 1001
PICKLE = re.compile(r"[^/]+/data\.pkl")
CHUNK = 1 << 20


class DamagedError(Exception):
    """The checksum of this entry of the ZIP is wrong."""


def load(path: Path) -> Any:
    """What torch.save wrote to `path`: plain containers, tensors on the CPU, and stubs.

    Raises:
        DamagedError: a checksum is wrong.
        ForbiddenError: the file asks for something that could run code.
        Exception: anything that a damaged or forged file makes zipfile, pickle or torch raise.
    """
    with open(path, "rb") as file:
        if file.read(len(ZIP)) != ZIP:
            file.seek(0)
            return _stream(file)
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > os.path.getsize(path):
            raise pickle.UnpicklingError("its entries are compressed or overlap")
        if wrong := archive.testzip():  # torch.load does not look
            raise DamagedError(wrong)
        return _zip(archive)


def _zip(archive: zipfile.ZipFile) -> Any:
    names = [name for name in archive.namelist() if PICKLE.fullmatch(name)]
    if len(names) != 1:
        raise pickle.UnpicklingError(f"{len(names)} files data.pkl")
    folder = names[0].partition("/")[0]
    order = f"{folder}/byteorder"
    if order in archive.namelist():
        _require_little_endian(archive.read(order) == b"little")
    found: dict[str, Tensor] = {}

    def storage(pid: tuple) -> Storage:
        dtype, key, size = _asked(pid)
        if key not in found:
            entry = archive.getinfo(f"{folder}/data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != size:
                raise pickle.UnpicklingError(f"storage {key} is not of {size} bytes")
            found[key] = torch.empty(size, dtype=torch.uint8)
            with archive.open(entry) as file:
                _fill(found[key], file)
        return _of_size(found[key], size, dtype)

    with archive.open(names[0]) as file:
        return Unpickler(file, storage).load()


def _stream(file: BinaryIO) -> Any:
    """Four pickles (magic number, protocol, system, content), the storages' keys, and storages."""
    if Unpickler(file).load() != MAGIC_NUMBER or Unpickler(file).load() != PROTOCOL:
        raise pickle.UnpicklingError("does not begin as a file of torch.save")
    system = Unpickler(file).load()
    _require_little_endian(isinstance(system, dict) and system.get("little_endian") is not False)
    left = os.fstat(file.fileno()).st_size
    found: dict[str, Storage] = {}

    def storage(pid: tuple) -> Storage:
        nonlocal left
        dtype, key, size = _asked(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("has storages within storages, as of 2017")
        if key not in found:
            if size > left:
                raise pickle.UnpicklingError(f"storage {key} is larger than the file")
            left -= size
            found[key] = Storage(torch.empty(size, dtype=torch.uint8), dtype)
        return _of_size(found[key].raw, size, dtype)

    content = Unpickler(file, storage).load()
    keys = Unpickler(file).load()
    if not isinstance(keys, list) or set(map(str, keys)) != found.keys():
        raise pickle.UnpicklingError("its storages are not those that its tensors need")
    for key in map(str, keys):
        raw, dtype = found[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count * dtype.itemsize != len(raw):
            raise pickle.UnpicklingError(f"storage {key} has another size than its tensors say")
        _fill(raw, file)
    return content


def _asked(pid: tuple) -> tuple[torch.dtype, str, int]:
    """Type, key and bytes of the storage of a persistent id."""
    kind, dtype, key, _, count = pid[:5]
    if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
        raise pickle.UnpicklingError("has a storage of unknown form")
    if not isinstance(count, int) or count < 0:
        raise pickle.UnpicklingError(f"storage {key} has {count} numbers")
    return dtype, key, count * dtype.itemsize


def _of_size(raw: Tensor, size: int, dtype: torch.dtype) -> Storage:
    if len(raw) != size:
        raise pickle.UnpicklingError("one storage has two sizes")
    return Storage(raw, dtype)


def _fill(raw: Tensor, file: BinaryIO) -> None:
    """Read as many bytes as `raw` [n] has."""
    view, at = memoryview(raw.numpy()), 0
    while at < len(view):
        chunk = file.read(min(CHUNK, len(view) - at))
        if not chunk:
            raise pickle.UnpicklingError("cut short within a storage")
        view[at : at + len(chunk)] = chunk
        at += len(chunk)


def _require_little_endian(is_little: bool) -> None:
    if not is_little:
        raise pickle.UnpicklingError("its numbers are big-endian")
