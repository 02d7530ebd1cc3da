"""The stage on a made-up set: every precision, repeated runs, a start from another model."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.weights import load_weights, read_header, save_weights
from stages.networks._files import CENTRES, WEIGHTS
from stages.train.__main__ import main


def train(params: dict[str, Any]) -> tuple[dict[str, float], bytes]:
    """Metrics and the bytes of both files of weights."""
    Path("params.yaml").write_text(yaml.safe_dump(params))
    main()
    metrics = json.loads(Path("metrics/train/metrics.json").read_text())["train"]
    model = Path("models/train")
    return metrics, (model / WEIGHTS).read_bytes() + (model / CENTRES).read_bytes()


def test_the_same_bytes_again(params) -> None:
    first, second = train(params), train(params)
    assert first == second
    assert not list(Path(".dvc/tmp/checkpoints").glob("train/*"))


@pytest.mark.parametrize("loss", ["arcface", "magface"])
def test_half_precision_trains_as_full_does(params, loss: str) -> None:
    """To within what 8 and 11 bits leave of a number.

    Steps have no length: float16 leaves the first ones out until its scale has fallen.
    """
    params["loss"] = loss
    params["schedules"]["short"]["lr"] = 1e-12
    full, _ = train(params)
    for precision, bound in (("bf16", 0.03), ("fp16", 0.003)):
        params["train"]["precision"] = precision
        half, _ = train(params)
        assert half != full
        assert half["loss"] == pytest.approx(full["loss"], rel=bound)


@pytest.mark.parametrize("name", ["iresnet", "mobilefacenet"])
def test_compiled(params, name: str, monkeypatch) -> None:
    """The graph that torch.compile finds, run as it stands, is the network; so are its names."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    params["backbone"] = {"name": name, "width": 0.125, "embedding": 16}
    full = train(params)
    params["train"]["compile"] = True
    assert train(params) == full


def test_accumulated(params) -> None:
    params["train"]["accumulate"] = 2
    metrics, _ = train(params)
    assert np.isfinite(metrics["loss"])


def test_starts_from_another_model(params, capsys) -> None:
    train(params)
    Path("models/train").rename("models/other")
    params["train"]["initial"] = "other"
    params["schedules"]["short"]["epochs"] = 0
    params["seed"] += 1
    train(params)
    assert capsys.readouterr().err == ""
    learnt = read_header(Path("models/other") / WEIGHTS)["contract"]["training_data"]
    assert learnt == f"faces {sha256('data/align/faces/index.parquet')}"
    assert read_header(Path("models/train") / WEIGHTS)["contract"]["training_data"] == learnt
    for file in (WEIGHTS, CENTRES):
        ours, _ = load_weights(Path("models/train") / file)
        others, _ = load_weights(Path("models/other") / file)
        assert all(torch.equal(ours[name], others[name]) for name in others)


def test_what_the_other_model_had_learnt_is_not_forgotten(params) -> None:
    params["schedules"]["short"]["epochs"] = 0
    train(params)
    tensors, header = load_weights(Path("models/train") / WEIGHTS)
    header["contract"]["training_data"] = "imported: r100.pth, sha256 0123"
    save_weights(Path("models/other") / WEIGHTS, tensors, header)
    params["train"]["initial"] = "other"
    train(params)
    found = read_header(Path("models/train") / WEIGHTS)["contract"]["training_data"]
    faces = f"faces {sha256('data/align/faces/index.parquet')}"
    assert found == f"imported: r100.pth, sha256 0123; then {faces}"


def test_centres_that_do_not_fit_start_afresh(params, capsys) -> None:
    train(params)
    Path("models/train").rename("models/other")
    params["train"]["initial"] = "other"
    params["classifier"]["spheres"] = 2
    train(params)
    said = capsys.readouterr().err
    assert "have 4 classes, 16 dimensions, 1 spheres; 4 classes, 16 dimensions, 2 spheres" in said
    (Path("models/other") / CENTRES).unlink()
    train(params)
    assert "models/other/classifier.safetensors: class centres are not there" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.colour", "bgr", r"is fed otherwise \(rgb, mean 127.5, scale 127.5, embedding 16\)"),
        ("backbone.width", 0.25, "is another network: size mismatch for conv1.weight"),
    ],
)
def test_another_network_is_refused(params, key: str, value: Any, said: str) -> None:
    train(params)
    Path("models/train").rename("models/other")
    params["train"]["initial"] = "other"
    part, name = key.split(".")
    params[part][name] = value
    with pytest.raises(InputError, match=said):
        train(params)
