"""An exported model in ONNX Runtime gives what it gives here, for any number of images."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from stages.check.code import ROOT
from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.core.geometry import TEMPLATE, similarity, warp
from stages.core.params import choices
from stages.core.weights import save_weights
from stages.extract import export
from stages.extract.__main__ import main as extract
from stages.extract.head import load_head
from stages.heads import coreset, pfe_g, scf
from stages.networks._files import WEIGHTS, fingerprint, save_network
from tests.head.made import EMBEDDING, project
from tests.networks.test_families import CHANNELS, Family, images

BOUND = 1e-4  # of an output's largest number
COUNTS = (1, 3, 17)  # images in a batch
RECIPE = {"epochs": 1, "batch": 2, "lr": 0.1}
HEADS = {"scf": scf, "pfe_g": pfe_g, "coreset": coreset}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A trunk in models/train, a branch and heads of it, and what is exported of them."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        store(Family("iresnet"))
        export.main("face.onnx", "train")
        export.main("again/face.onnx", "train")
        export.main("branch.onnx", "train", resolution=14)
        export.main("head.onnx", "train", head="scf")
    return folder


@pytest.fixture
def family(models, monkeypatch) -> Family:
    monkeypatch.chdir(models)
    return Family("iresnet")


def store(family: Family) -> None:
    described = family.module.describe(family.params)
    contract = InputContract(colour="bgr", mean=0.0, scale=255.0, embedding=EMBEDDING)
    trunk = Path("models/train")
    save_network(trunk, family.trunk, described, contract)
    origin = {"trunk": fingerprint(trunk), "resolution": 14}
    branch = Path("models/distill/14")
    save_network(branch, family.branch(14), described, contract, freeze="strict", **origin)
    whole, origin["resolution"] = family.network(28), 28
    branch = Path("models/distill/28")
    save_network(branch, whole, described, contract, freeze="reference", **origin)
    build = {"shape": [CHANNELS[-1], 7, 7], "embedding": EMBEDDING}
    for head, module in HEADS.items():
        params = module.Params(**RECIPE)
        header = {"head": head, "settings": params.model_dump(), "build": build, **origin}
        weights = module.build(params, **build).state_dict()
        save_weights(Path("models/head") / head / WEIGHTS, weights, header)


def run(path: str, batch: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": batch}), strict=True))


def metadata(path: str) -> dict[str, str]:
    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map


def assert_parity(path: str, model: Callable[[Tensor], dict[str, Tensor]], side: int) -> None:
    for count in COUNTS:
        batch = images(side, count)
        expected = model(batch)
        outputs = run(path, batch.numpy())
        assert list(outputs) == list(expected)
        for name, value in expected.items():
            assert outputs[name].shape == value.shape
            error = np.abs(outputs[name] - value.numpy()).max()
            assert error <= BOUND * value.abs().max(), (name, count)


def described(embedding: Tensor) -> dict[str, Tensor]:
    return {"embedding": embedding, "norm": embedding.square().sum(dim=1).sqrt()}


@pytest.mark.parametrize("name", choices("networks"))
def test_trunk_of_every_family(models, tmp_path, name: str) -> None:
    family, path = Family(name), str(tmp_path / "face.onnx")
    if name == "iresnet":
        path = str(models / "face.onnx")
    else:
        model = export.Exported(family.module.fold(family.trunk))
        export.write_onnx(model, {"size": "112"}, Path(path))
    assert_parity(path, lambda batch: described(family.trunk(batch)), 112)


def test_branch(family) -> None:
    def plain(batch: Tensor) -> dict[str, Tensor]:
        return described(family.trunk.resume(family.branch(14)(batch), 3))

    assert_parity("branch.onnx", plain, 14)


@torch.no_grad()
def test_what_an_uncertainty_head_says(family) -> None:
    _, head, _ = load_head(Path("models/head/scf"), export.CPU)

    def plain(batch: Tensor) -> dict[str, Tensor]:
        body = family.trunk.body(batch)
        return described(family.trunk.embed(body)) | {"kappa": head(body).exp()}

    assert_parity("head.onnx", plain, 112)


def test_outputs_of_a_head_with_several(family) -> None:
    model, _ = export.assemble(Path("models/train"), head="pfe_g")
    shapes = {name: list(value.shape) for name, value in model(images(112, 3)).items()}
    assert shapes == {
        "embedding": [3, EMBEDDING],
        "norm": [3],
        "precision": [3],
        "sigma2": [3, EMBEDDING],
    }


def test_a_branch_distilled_by_the_reference_is_a_whole_network(family) -> None:
    model, told = export.assemble(Path("models/train"), resolution=28)
    batch = images(28, 3)
    assert told["size"] == "28"
    torch.testing.assert_close(
        model(batch)["embedding"], family.network(28)(batch), rtol=1e-4, atol=1e-4
    )


def test_metadata_say_what_to_feed_and_whose_it_is(family) -> None:
    full = metadata("face.onnx")
    assert json.loads(full.pop("network")) == family.module.describe(family.params)
    assert full == {
        "colour": "bgr",
        "mean": "0.0",
        "scale": "255.0",
        "template": "arcface",
        "size": "112",
        "embedding": str(EMBEDDING),
        "training_data": "",
        "trunk": fingerprint(Path("models/train")),
    }
    assert metadata("branch.onnx")["size"] == "14"
    assert metadata("head.onnx")["head"] == "scf"


def test_equal_models_give_equal_bytes_that_name_no_folder(models) -> None:
    content = (models / "face.onnx").read_bytes()
    assert (models / "again/face.onnx").read_bytes() == content
    assert str(ROOT).encode() not in content
    assert b".py" not in content
    onnx.checker.check_model(models / "face.onnx", full_check=True)


@pytest.mark.parametrize(
    ("problem", "options"),
    [
        ("single images", {"head": "coreset"}),
        (r"file not found: no branch for 56 px.*\(28, 14\)", {"resolution": 56}),
        ("nobody", {"trunk": "nobody"}),
    ],
)
def test_what_cannot_be_exported(family, problem: str, options: dict) -> None:
    with pytest.raises(InputError, match=problem):
        export.main("new.onnx", **({"trunk": "train"} | options))
    assert not Path("new.onnx").exists()


@pytest.mark.parametrize("options", [{"resolution": 14}, {"head": "scf"}])
def test_parts_of_another_trunk_are_refused(models, tmp_path, monkeypatch, options: dict) -> None:
    monkeypatch.chdir(shutil.copytree(models / "models", tmp_path / "models").parent)
    family = Family("iresnet")
    family.trunk.fc.weight.mul_(2)
    shape = family.module.describe(family.params)
    save_network(Path("models/train"), family.trunk, shape, InputContract())
    with pytest.raises(InputError, match="made for another trunk"):
        export.main("face.onnx", "train", **options)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else 1)
    with pytest.raises(InputError, match=r"onnxscript: .*not installed.* pip install onnx ") as one:
        export.main("face.onnx")
    pinned = (ROOT / one.value.remedy.split()[-1]).read_text()
    for package in (*export.PACKAGES, "onnxruntime"):
        assert re.search(rf"^{package}==", pinned, re.MULTILINE)


def test_the_command_line(tmp_path) -> None:
    options = ["face.onnx", "--trunk", "train", "--resolution", "14", "--head", "scf"]
    done = subprocess.run(
        [sys.executable, "-m", "stages.extract.export", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "stages.extract.export: the command line: --resolution and --head together. Remedy: "
    )


def examples() -> list[str]:
    """The blocks of Python in docs/export.md: how to align, how to run the file."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.S)


def test_the_documents_crop_is_that_of_align() -> None:
    names: dict[str, object] = {}
    exec(examples()[0], names)
    random = np.random.default_rng(0)
    photograph = cv2.resize(random.integers(0, 255, (40, 50, 3), dtype=np.uint8), (500, 400))
    for _ in range(5):
        turn = np.array([[2.0, 0.4], [-0.4, 2.0]])
        points = (TEMPLATE - 56) @ turn + (250, 200) + random.normal(0, 4, (5, 2))
        ours = warp(photograph, similarity(points), outside="black").astype(int)
        assert np.abs(names["align"](photograph, points) - ours).max() <= 1


def test_the_documents_example_gives_the_features_of_extract(tmp_path, monkeypatch, capsys) -> None:
    """Read by nothing of ours: OpenCV and ONNX Runtime, as docs/export.md has it."""
    monkeypatch.chdir(tmp_path)
    project(tmp_path, {})
    extract("images", "faces")
    export.main("face.onnx")
    assert capsys.readouterr().out.splitlines() == [
        f"face.onnx: images [batch, 3, 112, 112] -> embedding, norm; E = {EMBEDDING}",
        "fed rgb, (x - 127.5) / 127.5",
    ]
    names: dict[str, object] = {}
    exec(examples()[1].replace("PHOTOGRAPHS", "data/align/faces/images/*.png"), names)
    for part in ("embedding", "norm"):
        expected = np.load(f"data/features/faces/trunk/{part}.npy")
        np.testing.assert_allclose(names[part], expected, atol=BOUND * np.abs(expected).max())
