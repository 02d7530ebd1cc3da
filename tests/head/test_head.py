"""Heads from training to features, on a trunk of no skill: what enters, what comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.weights import load_weights, read_header, save_weights
from stages.extract.__main__ import main as extract
from stages.head import sets
from stages.head.__main__ import main
from stages.head.frozen import Frozen
from stages.head.uncertainty import directions, draw_people
from stages.heads import coreset
from stages.networks._files import CENTRES
from tests.head.made import EMBEDDING, PEOPLE, SHARED, project

HEADS = {
    "scf": {},
    "pfe_g": {"batch": 2, "images": 3},
    "pfe_v": {"batch": 2, "images": 2},
    "scf_g": {},
    "coreset": {"optimizer": "adamw", "views": 2, "largest": 5},
}
SAID = {"scf": "kappa", "pfe_v": "kappa", "pfe_g": "precision", "scf_g": "precision"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    project(folder, HEADS)
    return folder


@pytest.fixture(autouse=True)
def _inside(root, monkeypatch) -> None:
    monkeypatch.chdir(root)


def frozen(**settings) -> Frozen:
    recipe = coreset.Params(**SHARED, **settings)
    device = torch.device("cpu")
    return Frozen(Path("models/train"), Path("data/align/faces"), recipe, device, 1)


@pytest.mark.parametrize("name", HEADS)
def test_training_again_gives_the_same_bytes_and_features(name) -> None:
    trunk = Path("models/train/weights.safetensors").read_bytes()
    weights = Path("models/head") / name / "weights.safetensors"
    main(name)
    first = weights.read_bytes()
    main(name)
    assert weights.read_bytes() == first
    assert Path("models/train/weights.safetensors").read_bytes() == trunk
    learnt = read_header(weights)["contract"]["training_data"]
    assert learnt == f"faces {sha256('data/align/faces/index.parquet')}"

    extract_with([name])
    folder = Path("data/features/sets/heads") / name
    about = json.loads((folder / "model.json").read_text())
    assert about["contract"]["training_data"] == learnt
    arrays = {file.stem: np.load(file) for file in folder.glob("*.npy")}
    assert all(np.isfinite(values).all() for values in arrays.values())
    if name == "coreset":
        assert {k: v.shape for k, v in arrays.items()} == {"descriptor_coreset": (2, EMBEDDING)}
        return
    said = SAID[name]
    assert arrays[said].shape == arrays[f"{said}_14"].shape == (5,)
    assert (arrays[said] > 0).all()
    assert arrays[f"descriptor_{said}"].shape == (2, EMBEDDING)
    if said == "kappa":
        members = [0, 1, 2, 3, 4]
        np.testing.assert_allclose(arrays["fused_kappa"], [
            arrays["kappa"][members].max(), arrays["kappa"][4]])  # fmt: skip
    else:
        width = EMBEDDING if name == "pfe_g" else 1
        assert arrays["sigma2"].shape == (5, width)
        np.testing.assert_allclose(arrays["precision"], (1 / arrays["sigma2"]).mean(1), rtol=1e-5)
        np.testing.assert_allclose(arrays["fused_sigma2"][1], arrays["sigma2"][4])


@contextmanager
def changed(section: str, **settings) -> Iterator[None]:
    """params.yaml with other settings in a section, or at its top."""
    text = Path("params.yaml").read_text()
    part = params = yaml.safe_load(text)
    for key in filter(None, section.split(".")):
        part = part[key]
    part |= settings
    Path("params.yaml").write_text(yaml.safe_dump(params))
    try:
        yield
    finally:
        Path("params.yaml").write_text(text)


def extract_with(heads: list[str]) -> None:
    with changed("", heads=heads):
        extract("images", "sets")
        extract("heads", "sets")


def test_a_head_says_in_bf16_what_it_says_in_fp32() -> None:
    main("scf")
    extract_with(["scf"])
    file = Path("data/features/sets/heads/scf/kappa.npy")
    exact = np.load(file)
    with changed("extract", precision="bf16"):
        extract_with(["scf"])
    rounded = np.load(file)
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, rtol=0.02)


def test_sets_may_come_from_images() -> None:
    with changed("head.coreset", source="images", epochs=1):
        main("coreset")
    _, header = load_weights(Path("models/head/coreset/weights.safetensors"))
    assert header["settings"]["source"] == "images"


@pytest.mark.parametrize("count", [2, 4])
def test_a_trunk_of_other_people_is_refused(count: int) -> None:
    path = Path("models/train") / CENTRES
    tensors, header = load_weights(path)
    save_weights(path, {"centres": torch.ones(count, EMBEDDING)}, header)
    try:
        with pytest.raises(InputError, match=f"{count} centres for 3 people"):
            main("scf")
    finally:
        save_weights(path, tensors, header)


def test_the_direction_of_a_class_is_where_every_sphere_s_cosine_is_one() -> None:
    centres = torch.tensor([[3.0, 4, 0, 5], [0, 2, 0.3, 0.4]])
    expected = torch.tensor([[0.6, 0.8, 0, 1], [0, 1, 0.6, 0.8]]) / 2**0.5
    torch.testing.assert_close(directions(centres, 2), expected)
    assert torch.equal(directions(centres, 1), torch.nn.functional.normalize(centres))


def test_people_and_their_images() -> None:
    people = frozen().rows_of_people()
    assert [len(rows) for rows in people] == list(PEOPLE)
    rows, uniform = draw_people(people, np.array([2, 1]), 3, 5, "pfe_g", 0)
    assert len(set(rows[:3].tolist())) == 3
    assert set(rows[:3].tolist()) <= set(people[2].tolist())
    assert rows[3:].tolist() == people[1].tolist() * 3
    assert len(np.unique(uniform[:, 0])) == 6, "an image that comes again is changed anew"
    alone, numbers = draw_people(people, np.array([1]), 3, 5, "pfe_g", 0)
    np.testing.assert_array_equal(alone, rows[3:])
    np.testing.assert_array_equal(numbers, uniform[3:])
    later, _ = draw_people(people, np.array([2, 1]), 3, 5, "pfe_g", 1)
    assert later[:3].tolist() != rows[:3].tolist()


def test_sets_are_of_one_person_in_clips_that_share_their_photograph() -> None:
    trunk = frozen()
    drawn = sets.Sets(coreset, trunk.schedule, trunk, "coreset", 0)
    rows = np.array([0, 5, 3])
    for epoch in range(6):
        images, first, uniform = drawn.draw(rows, rows, epoch)
        assert images.shape == first.shape == uniform.shape[:2]
        assert 1 <= images.shape[1] <= 20
        labels = trunk.images.labels
        assert np.all(labels[images] == labels[rows][:, None])
        place = np.arange(images.shape[1])
        assert np.all((place - first >= 0) & (place - first < 3))
        np.testing.assert_array_equal(np.take_along_axis(images, first, 1), images)
        anchors = np.take_along_axis(uniform, first[..., None], 1)
        same = (uniform == anchors).all(axis=(0, 1))
        assert np.flatnonzero(same).tolist() == sorted(sets.PHOTOGRAPH) or (first == place).all()
        again = drawn.draw(rows, rows, epoch)
        np.testing.assert_array_equal(uniform, again[2])


def test_the_bank_holds_what_the_trunk_says_of_each_frame() -> None:
    trunk = frozen(views=2, clip_length=2)
    bank = sets._bank(trunk.schedule, trunk, "coreset", 0)
    assert bank.shape == (sum(PEOPLE), 2, 2, EMBEDDING)
    rows = np.arange(sum(PEOPLE))
    uniform = sets.draws(0, "head coreset view 1 frame 0", 0, rows)
    expected = trunk.embed(trunk.bodies(rows, uniform))
    torch.testing.assert_close(bank[:, 1, 0], expected)
    assert not torch.allclose(bank[:, 1, 0], bank[:, 1, 1])
    assert not torch.allclose(bank[:, 0, 0], bank[:, 1, 0])
