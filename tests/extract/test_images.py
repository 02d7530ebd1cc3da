"""Pixels, trunk and branches in one pass: what each is fed, and what is written of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from stages.core.errors import InputError
from stages.core.index import read_index
from stages.datasets._resize import down_up, resize
from stages.datasets._store import ImageStore
from stages.distill.student import strict
from stages.extract.__main__ import main
from stages.networks._files import Loaded, fingerprint, load_branch, load_trunk, save_network
from tests.head.made import SIDE, project

IMAGES, BATCH = 5, 2  # the last batch is not full
TRUNK, BRANCH = Path("models/train"), Path(f"models/distill/{SIDE}")
FEATURES = Path("data/features/sets")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, {})
    change(extract={"batch": BATCH, "resampler": "pil_bicubic", "pixels": 20})


def change(**settings: object) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | settings))


def folded(loaded: Loaded) -> torch.nn.Module:
    return loaded.family.fold(loaded.network, torch.float32)


def alone(
    loaded: Loaded, view: Callable[[np.ndarray], np.ndarray], network: Callable[[Tensor], Tensor]
) -> dict[str, np.ndarray]:
    """Features of one model, which decodes the images for itself."""
    store, found = ImageStore("data/align/sets"), []
    with torch.no_grad():
        for start in range(0, IMAGES, BATCH):
            rows = range(start, min(start + BATCH, IMAGES))
            images = np.stack([view(store.image(row)) for row in rows])
            batch = loaded.contract.normalise(torch.from_numpy(images))
            batch = batch.contiguous(memory_format=torch.channels_last)
            found.append([network(batch), network(batch.flip(3))])
    embedding, mirrored = (torch.cat(parts) for parts in zip(*found, strict=True))
    arrays = {"embedding": embedding, "mirrored": mirrored, "norm": embedding.norm(dim=1)}
    return {name: values.numpy() for name, values in arrays.items()}


def test_features_are_those_of_each_model_alone() -> None:
    """To the byte; trunk and branch differ in what they are fed."""
    trunk, branch = load_trunk(TRUNK), load_branch(BRANCH)
    fed = replace(branch.contract, colour="bgr", mean=100.0)
    origin = {name: branch.header[name] for name in ("resolution", "trunk", "freeze")}
    save_network(BRANCH, branch.network, branch.family.describe(branch.params), fed, **origin)
    branch = branch._replace(contract=fed)
    network, front = folded(trunk), folded(branch)
    main("images", "sets")
    for model, expected in {
        "trunk": alone(trunk, lambda image: resize(image, 112, "pil_bicubic"), network),
        f"trunk/branch_{SIDE}": alone(
            branch,
            lambda image: resize(image, SIDE, "pil_bicubic"),
            lambda batch: network.resume(front(batch), front.depth),
        ),
        f"trunk/upsampled_{SIDE}": alone(
            trunk, lambda image: down_up(image, SIDE, "pil_bicubic"), network
        ),
    }.items():
        for name, values in expected.items():
            found = np.load(FEATURES / model / f"{name}.npy")
            np.testing.assert_array_equal(found, values, err_msg=f"{model} {name}")
        for name in ("mean", "norm"):
            shape = np.load(FEATURES / model / f"descriptor_{name}.npy").shape
            assert shape == (2, expected["embedding"].shape[1])


def test_pixels_are_grey_levels_less_their_mean() -> None:
    import cv2

    main("images", "sets")
    store = ImageStore("data/align/sets")
    rows = {"embedding": [], "mirrored": []}
    for row in range(IMAGES):
        grey = cv2.cvtColor(store.image(row), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (20, 20), interpolation=cv2.INTER_AREA)
        centred = (small - small.mean()).astype(np.float32)
        rows["embedding"].append(centred.reshape(-1))
        rows["mirrored"].append(centred[:, ::-1].reshape(-1))
    for name, values in rows.items():
        np.testing.assert_array_equal(np.load(FEATURES / f"pixels/{name}.npy"), values)
    norm = np.linalg.norm(rows["embedding"], axis=1)
    np.testing.assert_array_equal(np.load(FEATURES / "pixels/norm.npy"), norm)
    assert json.loads((FEATURES / "pixels/model.json").read_text()) == {"side": 20}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Rows in the order in which they are decoded."""
    rows, image = [], ImageStore.image

    def counted(store: ImageStore, row: int, out: np.ndarray | None = None) -> np.ndarray:
        rows.append(row)
        return image(store, row, out)

    monkeypatch.setattr(ImageStore, "image", counted)
    return rows


def test_every_image_is_decoded_once(decoded: list[int]) -> None:
    main("images", "sets")
    assert decoded == list(range(IMAGES))


def test_without_resolutions_there_are_pixels_and_the_trunk_alone() -> None:
    change(resolutions=[])
    main("images", "sets")
    assert sorted(path.name for path in FEATURES.iterdir()) == ["pixels", "trunk"]
    assert all(path.is_file() for path in (FEATURES / "trunk").iterdir())


def test_an_image_that_fails_leaves_what_was_there() -> None:
    main("images", "sets")
    before = {path: path.read_bytes() for path in FEATURES.rglob("*.*")}
    change(resolutions=[])
    last = Path("data/align/sets") / read_index(Path("data/align/sets/index.parquet")).path[-1]
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(InputError, match=last.name):
        main("images", "sets")
    assert {path: path.read_bytes() for path in FEATURES.rglob("*.*")} == before


def test_a_branch_of_another_trunk_is_refused() -> None:
    trunk = load_trunk(TRUNK)
    with torch.no_grad():
        next(trunk.network.parameters()).add_(1)
    save_network(TRUNK, trunk.network, trunk.family.describe(trunk.params), trunk.contract)
    with pytest.raises(InputError, match=f"{BRANCH}: was made for another trunk"):
        main("images", "sets")


def test_a_branch_has_a_training_set_of_its_own() -> None:
    trunk = load_trunk(TRUNK)
    learnt = trunk.contract.learning("faces", "0" * 64)
    branch, described = strict(trunk, SIDE).network, trunk.family.describe(trunk.params)
    origin = {"resolution": SIDE, "trunk": fingerprint(TRUNK), "freeze": "strict"}
    save_network(BRANCH, branch, described, learnt, **origin)
    main("images", "sets")
    said = {
        model: json.loads((FEATURES / f"trunk/{model}_{SIDE}/model.json").read_text())["contract"]
        for model in ("branch", "upsampled")
    }
    assert said == {"branch": learnt.as_dict(), "upsampled": trunk.contract.as_dict()}
    assert replace(learnt, training_data="") == trunk.contract


@pytest.mark.parametrize(
    "what", ["pixels", "trunk", "branches", "head_scf", "external", "images_14", "nonsense"]
)
def test_what_cannot_be_extracted_is_told_with_what_can(what: str) -> None:
    with pytest.raises(InputError, match=r"not one of images, heads, external_NAME.*`heads` for"):
        main(what, "sets")
