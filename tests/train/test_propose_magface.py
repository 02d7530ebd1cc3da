from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.errors import InputError
from stages.losses.magface import Params
from stages.train.propose_magface import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    magface = {"scale": 64.0, "l_m": 0.45, "u_m": 1.0}
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump({"trunk": "r100", "losses": {"magface": magface}})
    )
    (tmp_path / "data/features/faces/trunk").mkdir(parents=True)
    return tmp_path


def features(project: Path, norms: list[float]) -> None:
    np.save(project / "data/features/faces/trunk/norm.npy", np.array(norms, np.float32))


def test_the_range_is_shown_and_the_flags_hold_it(project: Path, capsys) -> None:
    """For norms near 1 the authors took 1, 51 and 5."""
    features(project, [1.25, 1.5, 4.0])
    main("faces", "trunk")
    said = capsys.readouterr().out
    assert said.startswith("3 images, magnitudes 1.25 to 4; try\ndvc exp run -S loss=magface ")
    assert said.endswith("-S train.initial=r100\n")
    values = {key: float(v) for key, v in re.findall(r"-S losses\.magface\.(\w+)=([\d.]+)", said)}
    assert set(values) == {"l_a", "u_a", "lambda_g"}
    assert values["l_a"] < 1.25
    assert values["u_a"] > 4.0
    proposed = Params(scale=64, l_m=0.45, u_m=1.0, **values)
    assert proposed.warning() is None


def test_the_papers_settings_may_stand_as_null(project: Path, capsys) -> None:
    (project / "params.yaml").write_text("{trunk: train, losses: {magface: null}}\n")
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
