"""Features of a branch say what the branch has learnt, those of enlarged images what the trunk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stages.distill.student import strict
from stages.extract.__main__ import main
from stages.networks._files import fingerprint, load_trunk, save_network
from tests.head.made import project

SIDE = 14


def test_a_branch_has_a_training_set_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, {})
    trunk = load_trunk(Path("models/train"))
    learnt = trunk.contract.learning("faces", "0" * 64)
    branch, described = strict(trunk, SIDE).network, trunk.family.describe(trunk.params)
    origin = {"resolution": SIDE, "trunk": fingerprint(Path("models/train")), "freeze": "strict"}
    save_network(Path(f"models/distill/{SIDE}"), branch, described, learnt, **origin)
    main("branches", "sets")
    folder = Path("data/features/sets/branches")
    said = {
        model: json.loads((folder / f"{model}_{SIDE}/model.json").read_text())["contract"]
        for model in ("branch", "upsampled")
    }
    assert said == {"branch": learnt.as_dict(), "upsampled": trunk.contract.as_dict()}
    assert replace(learnt, training_data="") == trunk.contract
