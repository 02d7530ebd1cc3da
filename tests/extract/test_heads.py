"""All heads in one pass of the trunk: each says what it says alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from stages.core.params import load
from stages.core.weights import save_weights
from stages.datasets._resize import down_up
from stages.datasets._store import ImageStore
from stages.extract import head as extract_head
from stages.extract.__main__ import main
from stages.extract.head import load_head
from stages.networks._files import WEIGHTS, fingerprint, load_trunk
from tests.head.made import EMBEDDING, SHARED, SIDE, project

ROOT = Path(__file__).resolve().parents[2]
HEADS = ["scf", "pfe_g", "pfe_v", "scf_g", "coreset"]
OF_IMAGES = HEADS[:-1]
IMAGES, BATCH = 5, 2  # the last batch is not full
FEATURES = Path("data/features/sets/heads")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With heads that have learnt nothing."""
    monkeypatch.chdir(tmp_path)
    project(tmp_path, {name: {} for name in HEADS})
    change(extract={"batch": BATCH})
    trunk = load_trunk(Path("models/train"))
    build = {"shape": [trunk.network.channels, 7, 7], "embedding": EMBEDDING}
    for name in HEADS:
        library, settings = load("heads", name, SHARED, name)
        header = {"head": name, "settings": settings.model_dump(), "build": build}
        header |= {"contract": trunk.contract.as_dict()}
        header |= {"trunk": fingerprint(Path("models/train"))}
        built = library.build(settings, **build)
        save_weights(Path("models/head") / name / WEIGHTS, built.state_dict(), header)


def change(**settings: object) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | settings))


def files(folder: Path) -> dict[str, bytes]:
    return {f"{file.relative_to(folder)}": file.read_bytes() for file in folder.rglob("*.*")}


def test_together_they_say_what_each_says_alone() -> None:
    main("images", "sets")
    main("heads", "sets")
    together = {name: files(FEATURES / name) for name in HEADS}
    assert all(together.values())
    for name in HEADS:
        change(heads=[name])
        main("heads", "sets")
        assert [path.name for path in FEATURES.iterdir() if path.is_dir()] == [name]
        assert files(FEATURES / name) == together[name]


def test_confidences_are_those_of_all_images_at_once() -> None:
    """To the byte, though they are written batch by batch."""
    main("images", "sets")
    main("heads", "sets")
    trunk, store = load_trunk(Path("models/train")), ImageStore("data/align/sets")
    network = trunk.family.fold(trunk.network, torch.float32)
    copies = {
        "": [store.image(row) for row in range(IMAGES)],
        f"_{SIDE}": [down_up(store.image(row), SIDE, "pil_bilinear") for row in range(IMAGES)],
    }
    for suffix, images in copies.items():
        with torch.no_grad():
            batch = trunk.contract.normalise(torch.from_numpy(np.stack(images)))
            batch = batch.contiguous(memory_format=torch.channels_last)
            body = torch.cat([network.body(some).float() for some in batch.split(BATCH)])
            for name in OF_IMAGES:
                library, head, _ = load_head(Path("models/head") / name, torch.device("cpu"))
                told = torch.cat([head(some) for some in body.split(BATCH)])
                for kind, values in library.confidences(told).items():
                    file = FEATURES / name / f"{kind}{suffix}.npy"
                    assert file.is_file() == (not suffix or values.ndim == 1), file
                    if file.is_file():
                        np.testing.assert_array_equal(np.load(file), values.numpy())


@pytest.mark.parametrize(
    ("heads", "passes"), [(["scf"], 6), (OF_IMAGES, 6), (HEADS, 6), (["coreset"], 0)]
)
def test_one_pass_of_the_trunk_serves_all_heads(
    heads: list[str], passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches, full size and one resolution; a head that reads embeddings needs none."""
    main("images", "sets")
    change(heads=heads)
    seen, for_inference = [], extract_head.for_inference

    def counted(*arguments):
        network = for_inference(*arguments)
        network.layer4.register_forward_hook(lambda _, images, __: seen.append(len(images[0])))
        return network

    monkeypatch.setattr(extract_head, "for_inference", counted)
    main("heads", "sets")
    assert len(seen) == passes
    assert sum(seen) == (2 * IMAGES if passes else 0)


def test_without_heads_there_is_an_empty_list_and_no_wait_for_torch(tmp_path: Path) -> None:
    change(heads=[])
    stale = FEATURES / "scf/kappa.npy"
    stale.parent.mkdir(parents=True)
    stale.touch()
    code = (
        "import sys; from stages.extract.__main__ import main; main('heads', 'sets'); "
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
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert [path.name for path in FEATURES.iterdir()] == ["heads.json"]
    assert json.loads((FEATURES / "heads.json").read_text()) == []
