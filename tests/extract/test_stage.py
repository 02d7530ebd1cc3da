"""The stage as dvc.yaml starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from stages.core.params import read_params

ROOT = Path(__file__).resolve().parents[2]


def test_without_branches_there_is_an_empty_folder_and_no_wait_for_torch(tmp_path: Path) -> None:
    params = read_params(ROOT / "params.yaml") | {"resolutions": []}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    stale = tmp_path / "data/features/few/branches/branch_7/embedding.npy"
    stale.parent.mkdir(parents=True)
    stale.touch()
    code = (
        "import sys; from stages.extract.__main__ import main; main('branches', 'few'); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
    assert list((tmp_path / "data/features/few/branches").iterdir()) == []
