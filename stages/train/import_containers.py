"""What a file is that holds no state dict of PyTorch, and the line that helps."""

from __future__ import annotations

import re
import shlex
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import InputError

SHORTEST = 4  # bytes that tell what a file is
HEAD = 4096  # bytes of a file that are looked at
ZIP = b"PK\x03\x04"  # and at the start: a tar archive of a ZIP ends as one
STREAM = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled magic number of torch.save before 1.6
SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
WHOLE = "load the whole model with the program that wrote the parts, and save its state dict in \
one file"
PYTORCH = "get the weights of its PyTorch training, and pass these"
BEGINS = {  # first bytes: what the file is, and the remedy
    b"\x1f\x8b": ("is compressed with gzip", "`gunzip {file}`, and pass what comes out"),
    b"BZh": ("is compressed with bzip2", "`bunzip2 {file}`, and pass what comes out"),
    b"\xfd7zXZ\0": ("is compressed with xz", "`unxz {file}`, and pass what comes out"),
    b"\x28\xb5\x2f\xfd": ("is compressed with zstd", "`unzstd {file}`, and pass what comes out"),
    b"7z\xbc\xaf\x27\x1c": ("is a 7z archive", "`7z x {file}`, and pass the weights in it"),
    b"Rar!\x1a\x07": ("is a RAR archive", "`unrar x {file}`, and pass the weights in it"),
    b"\x89HDF\r\n\x1a\n": ("is HDF5, as Keras saves weights; no import of it exists", PYTORCH),
    b"\x93NUMPY": ("is a NumPy array, not a state dict", PYTORCH),
    b"\x12\x01\0\0\0\0\0\0": ("has weights of MXNet (.params); no import of it exists", PYTORCH),
    b"7767517": ("is a network of ncnn; no import of it exists", PYTORCH),
    b"ftrt": ("is an engine of TensorRT; no import of it exists", PYTORCH),
}
TEXT_BEGINS = (b"{", b"[")
PAGE = re.compile(rb"\s*<(!doctype|html|head|body|script|\?xml|error)", re.IGNORECASE)
ONNX_FIELDS = b"\x12\x1a\x22\x2a\x32\x3a\x42"  # that may follow ir_version, protobuf field 1
NEWEST_IR = 64  # ir_version of ONNX; 10 in 2024
BARE = """import pickle, torch; d = pickle.load(open({file!r}, 'rb')); \
torch.save({{k: torch.as_tensor(v) for k, v in d.items()}}, {made!r})"""
SCRIPTED = """import torch; \
torch.save(torch.jit.load({file!r}, map_location='cpu').state_dict(), {made!r})"""
EXPORTED = "import torch; torch.save(torch.export.load({file!r}).state_dict, {made!r})"


class Kind(NamedTuple):
    """What a file is, and what to do with it."""

    problem: str
    remedy: str


def require_weights(path: Path) -> None:
    """Raise InputError if `path` is plainly something else than a file of torch.save.

    What passes may still be damaged.
    """
    kind = _kind(path)
    if kind is not None:
        raise InputError(path, kind.problem, kind.remedy)


def python(code: str, path: Path) -> str:
    """The command that runs `code` on {file}, and writes {made} beside it."""
    made = path.with_name(f"{path.name.split('.')[0]}_weights.pth")
    code = code.format(file=str(path), made=str(made))
    quoted = shlex.quote(code) if re.search(r'["$`!\\]', code) else f'"{code}"'
    return f"python -c {quoted}"


def is_safetensors(path: Path) -> bool:
    """Eight bytes of a length, and a JSON object."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and not head.startswith((b"PK", b"\x80"))


def _kind(path: Path) -> Kind | None:
    if path.is_dir():
        return _folder(path)
    if (shard := SHARD.search(path.stem)) and int(shard[2]) > 1:
        return Kind(f"is part {int(shard[1])} of {int(shard[2])} of a checkpoint", WHOLE)
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head:
        return Kind("is empty, not a whole file of torch.save", "download it again")
    if head.startswith(ZIP):
        return _zip(path)
    for begin, (problem, remedy) in BEGINS.items():
        if head.startswith(begin):
            return Kind(problem, remedy.format(file=shlex.quote(str(path))))
    return _text(head) or _binary(path, head)


def _folder(path: Path) -> Kind:
    if (path / "data.pkl").is_file() or list(path.glob("*/data.pkl")):
        return Kind(
            "is a folder: a checkpoint that was unpacked, as some browsers do",
            "download the file again with another program (`curl -LO`), and pass the file",
        )
    return Kind("is a folder", "pass the file of the weights in it")


def _text(head: bytes) -> Kind | None:
    start = head.lstrip()
    if head.startswith(b"version https://git-lfs"):
        remedy = "`git lfs pull` in its repository, or download the file from its page"
        return Kind("is a pointer of Git LFS: the weights themselves are elsewhere", remedy)
    if PAGE.match(head):
        of = "of Google Drive " if b"google" in head.lower() else ""
        return Kind(
            f"is a web page {of}(a warning, a login or an error), not the weights",
            "open the link in a browser, confirm what the page asks, and download it again",
        )
    if b'"weight_map"' in head:
        return Kind("is the index of a checkpoint in parts", WHOLE)
    if start.startswith(TEXT_BEGINS) and _is_text(head):
        return Kind("is JSON text, such as settings or an error", "download the weights again")
    return None


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r" for byte in head)


def _binary(path: Path, head: bytes) -> Kind | None:
    if len(head) < SHORTEST:
        return None
    if _is_tar(head):
        file = shlex.quote(str(path))
        return Kind("is a tar archive", f"`tar xf {file}`, and pass the weights in it")
    if head[4:8] == b"TFL3":
        return Kind("is a network of TensorFlow Lite; no import of it exists", PYTORCH)
    is_onnx = head[0] == 8 and head[1:2] < bytes([NEWEST_IR]) and head[2:3] in ONNX_FIELDS
    if is_onnx or path.suffix == ".onnx":
        return Kind("is an ONNX network; no import of it exists", PYTORCH)
    if head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and STREAM not in head[:64]:
        return Kind(
            f"is a bare pickle (protocol {head[1]}), not a file of torch.save: Paddle and "
            "pickle.dump write such",
            f"if you trust it and it maps names to arrays, run `{python(BARE, path)}`, and pass "
            "what it writes",
        )
    return None


def _is_tar(head: bytes) -> bool:
    try:
        return bool(tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "replace").name)
    except tarfile.HeaderError:
        return False


def _zip(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive fails in a dozen ways: the reader says which
        return None
    ends = {name.rpartition("/")[2] for name in names}
    file = shlex.quote(str(path))
    if "constants.pkl" in ends:
        return Kind(
            "is a TorchScript archive, which is a program",
            f"if you trust it, run `{python(SCRIPTED, path)}`, and pass what it writes",
        )
    if ends & {"serialized_exported_program.json", "archive_format"}:
        return Kind(
            "is a program of torch.export",
            f"if you trust it, run `{python(EXPORTED, path)}`, and pass what it writes",
        )
    if "data.pkl" in ends:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return Kind("is an archive of NumPy arrays, not a state dict", PYTORCH)
    if "model.weights.h5" in ends:
        return Kind("is a network of Keras; no import of it exists", PYTORCH)
    held = f" that holds {', '.join(names[:3])}" if names else ""
    return Kind(
        f"is a ZIP archive{held}, not a file of torch.save",
        f"`unzip {file}`, and pass the weights in it",
    )
