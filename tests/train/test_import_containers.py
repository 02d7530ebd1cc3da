"""Files that hold no state dict of PyTorch are named; those that do are read in every form."""

from __future__ import annotations

import argparse
import bz2
import collections
import datetime
import gzip
import io
import lzma
import pathlib
import pickle
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stages.core.errors import InputError
from stages.train.import_files import read_checkpoint
from tests.train.published import save

STATE = {
    "conv.weight": torch.linspace(-1, 1, 24).view(2, 3, 2, 2),
    "bn.running_var": torch.linspace(1, 2, 3),
    "bn.num_batches_tracked": torch.tensor(7),
    "none": torch.empty(0, 4),
}


def bytes_of(content, **how) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def zip_of(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return made.getvalue()


def tar_of(content: bytes, form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name in ("a.pth", "b.pth"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


TORCH = bytes_of(STATE)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty.*download"),
        (b"\x80", "not a whole file of torch.save"),
        (b"\x08", "not a whole file of torch.save"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"<!DOCTYPE html><title>Google Drive - Virus scan</title>", "page of Google Drive.*conf"),
        (b"\n <HTML><body>Please log in</body>", "is a web page.*browser"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (b'{"error": "Repository not found"}', "is JSON text"),
        (b'{"weight_map": {"a": "model-00001-of-00002.bin"}}', "in parts.*in one file"),
        (tar_of(TORCH, tarfile.USTAR_FORMAT), "is a tar archive.*tar xf"),
        (tar_of(TORCH, tarfile.GNU_FORMAT), "is a tar archive.*tar xf"),
        (tar_of(TORCH, tarfile.PAX_FORMAT), "is a tar archive.*tar xf"),
        (zip_of(**{"a.pth": TORCH}), "is a ZIP archive that holds a.pth.*unzip"),
        (zip_of(**{"a.npy": b""}), "archive of NumPy arrays"),
        (zip_of(**{"config.json": b"", "model.weights.h5": b""}), "network of Keras"),
        (zip_of(x__data__pkl=b"", x__code__a=b"").replace(b"data/pkl", b"data.pk_"), "is a ZIP"),
        (gzip.compress(TORCH), "gzip.*gunzip"),
        (bz2.compress(TORCH), "bzip2.*bunzip2"),
        (lzma.compress(TORCH), "xz.*unxz"),
        (b"\x28\xb5\x2f\xfd" + TORCH, "zstd.*unzstd"),
        (b"7z\xbc\xaf\x27\x1c" + TORCH, "7z archive"),
        (b"Rar!\x1a\x07\x01\0" + TORCH, "RAR archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5.*PyTorch"),
        (b"\x12\x01\0\0\0\0\0\0" + bytes(99), "MXNet.*PyTorch"),
        (b"\x08\x07\x12\x07pytorch\x1a\x032.1", "ONNX.*PyTorch"),
        (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite"),
        (b"\x93NUMPY\x01\0" + bytes(99), "NumPy array"),
        (pickle.dumps({"a": np.ones(3)}, 2), r"bare pickle \(protocol 2\).*pickle.load"),
        (pickle.dumps({"a": np.ones(3)}, 4), r"bare pickle \(protocol 4\).*pickle.load"),
    ],
)
def test_a_container_is_named_with_the_line_that_helps(tmp_path, content, problem) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_checkpoint(path)


def test_folders_and_parts_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match="is a folder. Remedy: pass the file"):
        read_checkpoint(tmp_path)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "data.pkl").touch()
    for folder in (tmp_path, tmp_path / "archive"):
        with pytest.raises(InputError, match="a checkpoint that was unpacked"):
            read_checkpoint(folder)
    part = tmp_path / "pytorch_model-00001-of-00002.bin"
    part.write_bytes(TORCH)
    with pytest.raises(InputError, match="is part 1 of 2"):
        read_checkpoint(part)
    whole = part.rename(tmp_path / "pytorch_model-00001-of-00001.bin")
    assert_state(whole)


def assert_state(path: Path, state: dict[str, Tensor] = STATE) -> None:
    tensors = read_checkpoint(path).tensors
    for name, tensor in state.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name], tensor)


def run_remedy(path: Path, folder: Path) -> Path:
    """What the command in the error writes."""
    with pytest.raises(InputError) as raised:
        read_checkpoint(path)
    command = raised.value.remedy.split("`")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True, cwd=folder, capture_output=True)
    return path.with_name(f"{path.stem}_weights.pth")


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


def test_the_line_for_torchscript_saves_its_state_dict(tmp_path) -> None:
    made = Network()
    torch.jit.save(torch.jit.script(made), tmp_path / "traced.pt")
    assert_state(run_remedy(tmp_path / "traced.pt", tmp_path), made.state_dict())


def test_the_line_for_a_whole_module_saves_its_state_dict(tmp_path) -> None:
    made = nn.Sequential(nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2))
    for number, content in enumerate((made, {"model": made, "epoch": 3})):
        for zipped in (True, False):
            path = tmp_path / f"whole{number}{zipped}.pth"
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            with pytest.raises(InputError, match="of the class torch.nn.modules.container.Sequen"):
                read_checkpoint(path)
            assert_state(run_remedy(path, tmp_path), made.state_dict())


def test_the_line_for_a_bare_pickle_converts_it(tmp_path) -> None:
    path = tmp_path / "arrays.pdparams"
    path.write_bytes(pickle.dumps({"a": np.linspace(0, 1, 3)}, 4))
    made = run_remedy(path, tmp_path)
    assert_state(made, {"a": torch.linspace(0, 1, 3, dtype=torch.float64)})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_form_of_torch_save_is_read(tmp_path, protocol: int, zipped: bool) -> None:
    how = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
    state = dict(STATE)
    for dtype in ("float64", "float16", "bfloat16", "int32", "int16", "int8", "uint8", "bool"):
        state[dtype] = torch.arange(5).to(getattr(torch, dtype))
    state["slice"] = torch.arange(20.0).view(4, 5)[1:3, ::2]
    state["transposed"] = STATE["conv.weight"].permute(3, 1, 0, 2)
    state["channels last"] = STATE["conv.weight"].to(memory_format=torch.channels_last)
    state["parameter"] = nn.Parameter(torch.ones(2))
    state["shared"] = state["slice"][0]
    path = tmp_path / "a.pth"
    path.write_bytes(bytes_of(collections.OrderedDict(state), **how))
    assert_state(path, state)


def test_the_newest_types_of_numbers_are_read(tmp_path) -> None:
    state = {"a": torch.ones(3).to(torch.float8_e4m3fn), "b": torch.ones(2, dtype=torch.uint16)}
    found = read_checkpoint(Path(save(tmp_path / "a.pth", state))).tensors
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        "a": torch.float8_e4m3fn,
        "b": torch.uint16,
    }
    assert found["a"].float().tolist() == [1, 1, 1]


def test_safetensors_are_read_whatever_they_are_called(tmp_path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert_state(tmp_path / "model.safetensors")
    assert_state((tmp_path / "model.safetensors").rename(tmp_path / "model.pth"))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "model.pth").read_bytes()[:-1])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        read_checkpoint(tmp_path / "cut.pth")


class Settings(dict):
    """A trainer's own mapping."""


class Meter:
    """A trainer's own object."""

    def __init__(self) -> None:
        self.value = 3


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_trainers_leave_beside_the_weights_is_left_out(
    tmp_path, monkeypatch, protocol: int, zipped: bool
) -> None:
    module = types.ModuleType("trainer_of_somebody")
    for kind in (Settings, Meter):
        monkeypatch.setattr(kind, "__module__", module.__name__)
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    content = {
        "state_dict": STATE,
        "scalar": np.float64(99.7),
        "array": np.arange(3.0),
        "objects": np.array([{}, None], dtype=object),
        "random": [np.random.get_state(), np.random.default_rng(0), torch.get_rng_state()],
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/x")),
        "log": collections.defaultdict(list, a=[1]),
        "counts": collections.Counter("aab"),
        "when": datetime.datetime(2024, 1, 1),
        "set": {1, (2, 3)},
        "pairs": {(1, 2): 3},
        "settings": Settings(lr=0.1, net=Settings(depth=3)),
        "meters": {Meter: [Meter(), Meter]},
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([3]),
    }
    path = tmp_path / "a.pth"
    path.write_bytes(
        bytes_of(content, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    )
    monkeypatch.delitem(sys.modules, module.__name__)
    assert_state(path, {f"state_dict.{name}": tensor for name, tensor in STATE.items()})
    assert set(read_checkpoint(path).others) == content.keys() - {"state_dict"}
    assert module.__name__ not in sys.modules


def test_a_state_dict_within_a_trainer_s_own_mapping_is_read(tmp_path, monkeypatch) -> None:
    module = types.ModuleType("trainer_of_somebody")
    module.Settings = Settings
    monkeypatch.setattr(Settings, "__module__", module.__name__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = Path(save(tmp_path / "a.pth", Settings(STATE)))
    monkeypatch.delitem(sys.modules, module.__name__)
    assert_state(path)
