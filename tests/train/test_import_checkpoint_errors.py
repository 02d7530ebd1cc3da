"""Files that cannot be used: one line that says why, nothing executed, nothing left behind."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.check.code import ROOT
from stages.core.errors import InputError
from stages.train import import_checkpoint
from stages.train.import_files import read_checkpoint
from tests.train.published import EMBEDDING, centres, network, published, save, save_shards


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return published(network("iresnet", depth=18))


class Runs:
    """What a hostile file holds: unpickling it runs a command."""

    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_file_is_executed(tmp_path, zipped):
    path = tmp_path / "hostile.pth"
    torch.save({"weight": torch.ones(2), "x": Runs()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="could run code.*save its state dict alone"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Runs(), protocol=2))
    with pytest.raises(InputError):
        read_checkpoint(path)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "name",
    [
        "argparse.Namespace",
        "builtins.set",
        "collections.Counter",
        "numpy.core.multiarray.scalar",
        "numpy.load",
        "pathlib.PosixPath",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "stages.core.files.atomic_folder",
        "torch.hub.load",
    ],
)
def test_names_that_are_let_in_do_nothing(tmp_path, name):
    """A file that calls them with a command, and then sets their state."""
    module, _, attribute = name.rpartition(".")
    call = f"c{module}\n{attribute}\n(X\x0e\x00\x00\x00touch executedtR}}X\x01\x00\x00\x00aK\x01sb."
    plain = tmp_path / "plain.pth"
    torch.save({"weight": torch.ones(2), "x": 1}, plain, _use_new_zipfile_serialization=False)
    head, _, tail = plain.read_bytes().rpartition(b"X\x01\x00\x00\x00x")
    assert head
    assert tail
    number = tail.index(b"K\x01")
    hostile = head + b"X\x01\x00\x00\x00x" + tail[:number] + call[:-1].encode() + tail[number + 2 :]
    plain.write_bytes(hostile)
    assert list(read_checkpoint(plain).tensors) == ["weight"]
    assert not Path("executed").exists()


def test_damaged_files_give_the_one_error(tmp_path, weights):
    whole = Path(save(tmp_path / "whole.pth", {"state_dict": dict(list(weights.items())[:6])}))
    data = whole.read_bytes()
    random = np.random.default_rng(0)
    damaged = tmp_path / "damaged.pth"
    for kept in (0, 1, 100, len(data) // 2, len(data) - 1):
        damaged.write_bytes(data[:kept])
        with pytest.raises(InputError, match="not a whole file of torch.save(?!.*weights_only)"):
            read_checkpoint(damaged)
    for _ in range(60):
        bytes_ = bytearray(data)
        for place in random.integers(0, len(data), 8):
            bytes_[place] = random.integers(256)
        damaged.write_bytes(bytes_)
        with suppress(InputError):  # or the damage is in a tensor's numbers
            read_checkpoint(damaged)


def nested(levels: int) -> dict:
    return {"a": nested(levels - 1) if levels else torch.ones(2)}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2], "neither tensors nor a mapping"),
        ({"epoch": 3}, "holds no tensor"),
        ({0: torch.ones(2)}, "holds no tensor"),
        (nested(9), "holds a mapping more than 8 levels deep, and no tensor above it"),
        ({"fc.weight": np.ones(2)}, "NumPy arrays in place of tensors.*from_numpy"),
        ({"a": torch.eye(3).to_sparse()}, "holds no tensor"),
        ({"a": torch.ones(1).expand(1 << 40)}, "holds no tensor"),
        ({"head.kernel": torch.ones(3, 4)}, "holds no network of this system.*head.kernel"),
    ],
)
def test_files_without_a_network(tmp_path, content, problem):
    with pytest.raises(InputError, match=problem):
        import_checkpoint.main(save(tmp_path / "a.pth", content), "adaface", [])


def test_a_mapping_that_holds_itself_ends(tmp_path):
    content = {"weight": torch.ones(2)}
    content["again"] = content
    assert "weight" in read_checkpoint(Path(save(tmp_path / "a.pth", content))).tensors


def changed(weights: dict, **tensors: torch.Tensor | None) -> dict:
    names = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return {name: t for name, t in (weights | names).items() if t is not None}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"layer2__0__conv1__weight": None}, "layer2.0.conv1.weight: is absent"),
        ({"fc__weight": None}, "fc.weight: is absent"),
        ({"fc__bias": torch.ones(3)}, r"fc.bias: has shape \[3\], not \[24\]"),
        ({"fc__weight": torch.ones(EMBEDDING, 100)}, r"fc.weight: has shape \[24, 100\]"),
        ({"fc__bias": torch.full((24,), torch.nan)}, "fc.bias: holds NaN"),
        ({"fc__bias": torch.ones(24, dtype=torch.int64)}, "fc.bias: holds torch.int64 in place"),
        ({"fc__weight": torch.tensor(1.0)}, r"fc.weight: has shape \[\], which no network"),
        ({"fc__weight": torch.ones(0, 3)}, r"fc.weight: has shape \[0, 3\], which no network"),
        ({"layer4__0__conv2__weight": torch.ones(9999, 1)}, r"\[9999, 1\], which no network has"),
        ({"layer1__0__downsample__0__weight": None}, "below 112 px; pass its 112 px network"),
    ],
)
def test_a_network_that_is_not_whole(tmp_path, weights, change, problem):
    path = save(tmp_path / "a.pth", changed(weights, **change))
    with pytest.raises(InputError, match=problem):
        import_checkpoint.main(path, "btnet", [])
    assert not Path("models").exists()


def test_two_networks_that_differ(tmp_path, weights):
    other = weights | {"fc.bias": weights["fc.bias"] + 1}
    path = save(tmp_path / "a.pth", {"student": weights, "teacher": other})
    with pytest.raises(InputError, match="two networks that differ, under 'student.' and 'teach"):
        import_checkpoint.main(path, "btnet", [])


def test_a_network_of_another_system(tmp_path):
    path = save(tmp_path / "a.pth", published(network("ir_se", depth=50)))
    with pytest.raises(InputError, match="check --as"):
        import_checkpoint.main(path, "adaface", [])


@pytest.mark.parametrize("name", ["train", "distill", "head", "..", "../x", "a/b", ".a", "a b"])
def test_names_that_no_model_may_have(tmp_path, weights, name):
    path = save(tmp_path / "a.pth", weights)
    with pytest.raises(InputError, match="is no name for a model"):
        import_checkpoint.main(path, "btnet", [], name)


def test_nothing_is_overwritten(tmp_path, weights):
    path = save(tmp_path / "a.pth", weights)
    import_checkpoint.main(path, "btnet", [])
    with pytest.raises(InputError, match="exists.*--name"):
        import_checkpoint.main(path, "btnet", [])


def shards_of(tmp_path: Path, numbers: tuple, sizes: tuple = (), width: int = EMBEDDING) -> list:
    sizes = sizes or (4,) * len(numbers)
    paths = []
    for number, size in zip(numbers, sizes, strict=True):
        path = tmp_path / f"softmax_fc_gpu_{number}.pt"
        path.parent.mkdir(exist_ok=True)
        paths.append(save(path, {"weight": torch.ones(size, width)}))
    return paths


@pytest.mark.parametrize(
    ("numbers", "sizes", "problem"),
    [
        ((0, 2), (), "no file of rank 1"),
        ((1,), (), "no file of rank 0"),
        ((1, 2), (), "no file of rank 0"),
        ((0, "00"), (), "is rank 0, and so is softmax_fc_gpu_0.pt"),
        (("a", "b"), (), "has no rank in its name"),
        ((0, 1), (4, 5), "ranks have 4, 5 classes, which no even share gives"),
        ((0, 1), (6, 4), "ranks have 6, 4 classes"),
    ],
)
def test_shards_that_are_not_those_of_all_ranks(tmp_path, weights, numbers, sizes, problem):
    shards = shards_of(tmp_path, numbers, sizes)
    with pytest.raises(InputError, match=problem):
        import_checkpoint.main(save(tmp_path / "a.pth", weights), "btnet", shards)
    assert not Path("models").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"weight": torch.ones(9, 23)}, r"weight \[9, 23\], do not fit an embedding of 24"),
        ({"weight": torch.ones(24)}, "do not fit an embedding of 24"),
        ({"weight": torch.full((4, 24), torch.inf)}, "weight: holds NaN or infinity"),
        ({"kernel": torch.ones(24, 9)}, r"holds no class centres \(looked for: weight\)"),
        ({"a": {"weight": centres()}, "b": {"weight": centres()}}, "several tensors may be"),
    ],
)
def test_classifiers_that_do_not_fit(tmp_path, weights, content, problem):
    head = save(tmp_path / "fc.pt", content)
    with pytest.raises(InputError, match=problem):
        import_checkpoint.main(save(tmp_path / "a.pth", weights), "btnet", [head])
    assert not Path("models").exists()


@pytest.mark.parametrize(
    ("content", "spheres", "problem"),
    [
        ({"para0": torch.ones(12, 5)}, None, "do not fit an embedding of 24"),
        ({"para0": torch.ones(12, 5), "para2": torch.ones(12, 5)}, None, "missing or double"),
        ({"para0": torch.ones(12, 5), "para1": torch.ones(12, 6)}, None, "do not fit"),
        ({"para0": torch.ones(12, 5), "para1": torch.ones(12, 5)}, 3, "24 of 3 spheres"),
        ({"kernel": torch.ones(24, 5)}, 5, "5 spheres do not divide an embedding of 24"),
        ({"kernel": torch.ones(24, 5)}, -2, "-2 spheres do not divide an embedding of 24"),
    ],
)
def test_spheres_that_do_not_fit(tmp_path, content, spheres, problem):
    backbone = save(tmp_path / "a.pth", published(network("mobilefacenet")))
    with pytest.raises(InputError, match=problem):
        import_checkpoint.main(
            backbone, "multiface", [save(tmp_path / "head.pth", content)], None, spheres
        )


def test_several_files_where_there_is_one(tmp_path):
    backbone = save(tmp_path / "a.pth", published(network("ir", depth=18)))
    parts = [{"head.kernel": torch.ones(EMBEDDING, 4)}] * 2
    with pytest.raises(InputError, match="one file"):
        import_checkpoint.main(backbone, "adaface", save_shards(tmp_path, "fc_{}.pt", parts))


def test_the_command_says_it_in_one_line(tmp_path):
    command = [sys.executable, "-m", "stages.train.import_checkpoint", "none.pth", "--as", "btnet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"stages.train.import_checkpoint: none.pth: file not found. Remedy: .*\n", done.stderr
    )


def test_a_flipped_bit_is_seen_by_the_checksum(tmp_path) -> None:
    """At which torch does not look."""
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(1000)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(1000)) + 500] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["weight"].any()
    with pytest.raises(InputError, match="its checksum is another"):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_few_bytes_get_no_gigabytes(tmp_path, zipped) -> None:
    class Large:
        def __reduce__(self):
            return bytearray, (1 << 33,)

    path = tmp_path / "model.pt"
    content = {"weight": torch.ones(2), "x": Large()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="memory"):
        read_checkpoint(path)


def test_a_kilobyte_that_nests_a_mapping_many_times_takes_no_time(tmp_path) -> None:
    """One of 300 names for one of 300 names for ..: 300 to the fourth tensors."""
    content: dict = {"weight": torch.ones(2)}
    for _ in range(4):
        content = {str(number): content for number in range(300)}
    with pytest.raises(InputError, match="holds 16227090300 entries"):
        read_checkpoint(Path(save(tmp_path / "a.pth", content)))


def test_a_zip_that_swells_is_refused_before_it_is_read(tmp_path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + b"N0" * 100_000 + b"N.")
    with pytest.raises(InputError, match="entries are compressed or overlap"):
        read_checkpoint(path)


def test_names_of_python_2_are_those_of_today(tmp_path) -> None:
    """torch.save writes protocol 2: Popen stands there as commands.Popen, range as xrange."""

    class Starts:
        def __reduce__(self):
            return subprocess.Popen, (("touch", "executed"),)

    tensors = {"weight": torch.ones(2)}
    path = Path(save(tmp_path / "a.pth", tensors | {"x": range(3)}))
    assert list(read_checkpoint(path).tensors) == ["weight"]
    with pytest.raises(InputError, match="holds 'subprocess.Popen', which could run code"):
        read_checkpoint(Path(save(tmp_path / "b.pth", tensors | {"x": Starts()})))
    assert not Path("executed").exists()
