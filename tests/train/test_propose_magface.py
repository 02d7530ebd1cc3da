"""The proposal, and that the line it prints does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from stages.check.validate import validate
from stages.core.contract import InputContract
from stages.core.errors import InputError
from stages.core.params import read_params
from stages.losses import softmax
from stages.losses._classifier import Classifier
from stages.losses.magface import Params
from stages.networks import iresnet
from stages.networks._files import save_network
from stages.train.initial import start_from
from stages.train.propose_magface import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of params.yaml, for an imported trunk; MagFace's u_m is 1."""
    monkeypatch.chdir(tmp_path)
    params = read_params(ROOT / "params.yaml")
    magface = {"scale": 64, "l_a": 1, "u_a": 2, "l_m": 0.45, "u_m": 1.0, "lambda_g": 1}
    params |= {"trunk": "r100", "heads": [], "losses": params["losses"] | {"magface": magface}}
    write(params)
    shape = iresnet.Params(depth=34, width=0.125, embedding=16, flavour="magface")
    contract = InputContract(colour="bgr", mean=0.0, scale=255.0, embedding=16)
    for name in ("r100", "train"):
        network = iresnet.build(shape)
        save_network(tmp_path / "models" / name, network, iresnet.describe(shape), contract)
    (tmp_path / "data/features/faces/trunk").mkdir(parents=True)
    return tmp_path


def write(params: dict[str, Any]) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def features(project: Path, norms: list[float]) -> None:
    np.save(project / "data/features/faces/trunk/norm.npy", np.array(norms, np.float32))


def test_the_range_is_shown_and_the_flags_hold_it(project: Path, capsys) -> None:
    """For norms near 1 the authors took 1, 51 and 5."""
    features(project, [1.25, 1.5, 4.0])
    main("faces", "trunk")
    said = capsys.readouterr().out
    assert said.startswith("3 images, magnitudes 1.25 to 4; try\ndvc exp run -S loss=magface ")
    assert "cp -r" not in said
    values = {key: float(v) for key, v in re.findall(r"-S losses\.magface\.(\w+)=([\d.]+)", said)}
    assert set(values) == {"l_a", "u_a", "lambda_g"}
    assert values["l_a"] < 1.25
    assert values["u_a"] > 4.0
    proposed = Params(scale=64, l_m=0.45, u_m=1.0, **values)
    assert proposed.warning() is None


@pytest.mark.parametrize("trunk", ["r100", "train"])
def test_the_line_trains_that_network_from_that_model(
    project: Path, capsys, monkeypatch: pytest.MonkeyPatch, trunk: str
) -> None:
    """As DVC applies it; the stage train would overwrite its own model, so a copy is taken."""
    write(read_params() | {"trunk": trunk})
    features(project, [20.0, 30.0])
    main("faces", "trunk")
    _, *copies, line = capsys.readouterr().out.splitlines()
    assert bool(copies) == (trunk == "train")
    for copy in copies:  # cp, then what makes it known to git and DVC
        if copy.startswith("cp "):
            subprocess.run(shlex.split(copy), check=True)
    words = shlex.split(line)
    assert words[:3] == ["dvc", "exp", "run"]
    apply_overrides(project / "params.yaml", [v for k, v in pairwise(words) if k == "-S"])
    params = read_params()
    validate(params, data=False)
    assert params["trunk"] == "train"
    assert params["loss"] == "magface"
    shape = dict(params["backbone"])
    name = shape.pop("name")
    assert name == "iresnet"
    network = iresnet.build(iresnet.Params(**shape))
    fed = {key: params["train"][key] for key in ("colour", "mean", "scale")}
    initial = Path("models") / params["train"]["initial"]
    assert initial.name == ("r100" if trunk == "r100" else "to_finetune")
    classifier = Classifier(16, 3, softmax.build(softmax.Params()))
    start_from(initial, network, classifier, InputContract(**fed, embedding=16))


def test_the_papers_settings_may_stand_as_null(project: Path, capsys) -> None:
    params = read_params()
    write(params | {"losses": params["losses"] | {"magface": None}})
    features(project, [20.0, 30.0])
    main("faces", "trunk")
    assert "losses.magface.l_a=18" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("norms", "said"),
    [(None, "norm.npy: cannot be read .*dvc repro"), ([], "at least one"), ([1, -1], "positive")],
)
def test_what_cannot_be_used_is_named(project: Path, norms: list[float] | None, said: str) -> None:
    if norms is not None:
        features(project, norms)
    with pytest.raises(InputError, match=said):
        main("faces", "trunk")


def test_the_copy_is_tracked_by_dvc_and_left_out_of_git(project: Path, capsys) -> None:
    for command in ("git init -q", f"{sys.executable} -m dvc init -q"):
        subprocess.run(shlex.split(command), check=True)
    write(read_params() | {"trunk": "train"})
    features(project, [20.0, 30.0])
    main("faces", "trunk")
    _, *lines, _ = capsys.readouterr().out.splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        given = [sys.executable, "-m", *words] if words[0] == "dvc" else words
        subprocess.run(given, check=True, capture_output=True)
    command = ["git", "ls-files", "models"]
    tracked = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert tracked.split() == ["models/.gitignore", "models/to_finetune.dvc"]
    command = ["git", "status", "--porcelain", "models/to_finetune"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""
