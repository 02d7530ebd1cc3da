"""Stages on another device than the CPU: nothing is mixed, and the numbers are the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.params import read_params
from stages.core.weights import load_weights
from tests.head import made

ROOT = Path(__file__).resolve().parents[1]
RECIPE = {"epochs": 2, "batch": 4, "lr": 0.05, "augment": {"low_resolution": 0.5, "rotation": 10}}
EVERYTHING = {
    "heads": ["scf", "pfe_g", "pfe_v", "scf_g", "coreset"],
    "resolutions": [28, 7],
}
TRUNKS = [
    {"loss": loss, "backbone": {"name": network, "width": 0.125, "embedding": 16, **shape}}
    for loss, network, shape in (
        ("magface", "mobilefacenet", {}),
        ("curricularface", "ir", {"depth": 18, "dropout": 0.4}),
        ("adaface", "ir_se", {"depth": 50}),
    )
]
TRUNKS[0] |= {"classifier": {"spheres": 2, "sample_rate": 0.5}, "clip": 1.0}
TRUNKS[2] |= {"optimizer": "adam", "accumulate": 2}


def outputs(folder: Path) -> dict[str, np.ndarray]:
    found = {str(f.relative_to(folder)): np.load(f) for f in folder.glob("data/features/**/*.npy")}
    for file in folder.glob("models/**/*.safetensors"):
        tensors, _ = load_weights(file)
        found |= {f"{file.relative_to(folder)} {name}": x.numpy() for name, x in tensors.items()}
    return found


def run(folder: Path, device: str, changes: dict) -> dict[str, np.ndarray]:
    folder.mkdir()
    made.project(folder, {})
    changes = dict(changes)
    recipe = RECIPE | {key: changes.pop(key) for key in ("clip", "optimizer") if key in changes}
    params = read_params(ROOT / "params.yaml") | {
        "dataset": "faces", "test_sets": ["sets"], "schedule": "short", "threads": 1,
        "heads": [], "resolutions": [],
    }  # fmt: skip
    params["backbone"] = {"name": "iresnet", "depth": 18, "width": 0.125, "embedding": 16}
    params["schedules"]["short"] = recipe
    params["train"]["accumulate"] = changes.pop("accumulate", 1)
    for section in (params["distill"], *params["head"].values()):
        section |= {"epochs": 1} if "epochs" in section else {}
        section |= {"batch": 2, "warmup_epochs": 0} if "batch" in section else {}
    (folder / "params.yaml").write_text(yaml.safe_dump(params | changes))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    command = [sys.executable, "-m", "tests.elsewhere", device]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return outputs(folder)


@pytest.mark.parametrize(
    "changes", [EVERYTHING, *TRUNKS], ids=["all", *(t["loss"] for t in TRUNKS)]
)
def test_stages_on_another_device(tmp_path: Path, changes: dict) -> None:
    expected = run(tmp_path / "here", "cpu", changes)
    found = run(tmp_path / "there", "elsewhere", changes)
    assert found.keys() == expected.keys()
    assert len(found) > 10
    for name, values in expected.items():
        scale = float(np.abs(values).max(initial=1e-6))
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-4 * scale, err_msg=name)


def test_the_device_notices_what_a_gpu_would() -> None:
    code = """
import numpy, torch
from tests.elsewhere import register

x, first = torch.ones(3).to(register()), (torch.tensor([0]),)
print((x + 1).cpu().tolist(), x[torch.tensor([0, 2])].shape, x.sum().item())
for name, mix in {
    "add": lambda: x + torch.ones(3),
    "numpy": lambda: x.numpy(),
    "array": lambda: numpy.asarray(x),
    "put": lambda: x.index_put_(first, torch.ones(1)),
}.items():
    try:
        mix()
    except (RuntimeError, TypeError):
        print(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "[2.0, 2.0, 2.0] torch.Size([2]) 3.0", "add", "numpy", "array", "put",
    ]  # fmt: skip
