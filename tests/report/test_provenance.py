"""Where numbers come from, and what is out of date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.core.files import sha256
from stages.core.weights import save_weights
from stages.datasets._store import ImageSetWriter
from stages.report.provenance import (
    index_hash,
    measured_from,
    outdated,
    provenance,
    summary,
    title,
)
from tests.datasets.samples import jpeg
from tests.report.synthetic import entry, write_results


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def aligned(name: str, sources: list[str], labels: list[int], first: int) -> None:
    folder = Path("data/align") / name
    folder.mkdir(parents=True)
    with ImageSetWriter(folder, len(sources), folder) as writer:
        for number, (source, label) in enumerate(zip(sources, labels, strict=True), first):
            writer.add(jpeg(number), source, label)


CHOSEN = {
    "dataset": "train",
    "loss": "arcface",
    "backbone": {"name": "iresnet"},
    "classifier": {"spheres": 1},
    "trunk": "train",
    "schedule": "short",
    "resolutions": [7],
    "heads": ["scf"],
    "seed": 3,
    "test_sets": ["test"],
    "losses": {"arcface": {"scale": 64}, "cosface": {"scale": 32}},
    "schedules": {"short": {"epochs": 2}},
}
OF_TRAINING = {"backbone", "schedule", "schedules.short"}
OF_CLASSES = {"loss", "classifier", "losses.arcface"}
OF_IMAGES = {"dataset", "images of train"}


@pytest.mark.parametrize(
    ("changes", "unused"),
    [
        ({}, set()),
        ({"trunk": "train", "resolutions": [], "heads": []}, set()),
        ({"trunk": "bought"}, OF_TRAINING),
        ({"trunk": "bought", "heads": []}, OF_TRAINING),
        ({"trunk": "bought", "resolutions": []}, OF_TRAINING | OF_CLASSES),
        ({"trunk": "bought", "resolutions": [], "heads": []}, OF_TRAINING | OF_CLASSES | OF_IMAGES),
    ],
)
def test_only_choices_that_had_a_part_in_it_are_told(changes: dict, unused: set[str]) -> None:
    """Branches of an imported trunk learn from the training set by a loss, heads from it alone."""
    aligned("train", ["ann/0"], [0], first=0)
    aligned("test", ["bob/0"], [0], first=1)
    every = {"dataset", "trunk", "resolutions", "heads", "seed", "images of train",
             "images of test"}  # fmt: skip
    found = dict(provenance(CHOSEN | changes))
    assert set(found) == (every | OF_TRAINING | OF_CLASSES) - unused
    assert found["images of test"] == f"index sha256 {index_hash('test')}"
    assert found.get("losses.arcface", '{"scale": 64}') == '{"scale": 64}'


def test_a_trunk_speaks_by_its_own_account() -> None:
    """Of the network its header tells, of a training params.yaml."""
    aligned("train", ["ann/0"], [0], first=0)
    network = {"name": "iresnet", "depth": 18, "width": 0.25, "embedding": 128}
    for trunk in ("train", "bought"):
        header = {"network": network, "contract": {"training_data": f"imported: {trunk}.pth"}}
        save_weights(Path(f"models/{trunk}/weights.safetensors"), {}, header)
    params = CHOSEN | {"test_sets": []}
    said = "iresnet-18, width 0.25, 128 dimensions, "
    assert summary(params) == said + "arcface, trained on train. Branches for 7 px."
    assert title(params) == "train, arcface"
    params |= {"trunk": "bought", "resolutions": [28, 7]}
    assert summary(params) == said + "imported: bought.pth. Branches for 28, 7 px."
    assert title(params) == "bought"
    found = dict(provenance(params))
    assert json.loads(found["models/bought: network"]) == network
    assert "bought.pth" in found["models/bought: contract"]
    assert not [name for name in found if name.startswith("models/train")]


def evaluated(**models: dict[str, str]) -> str | None:
    """Why the results of benchmark b, of these models, are out of date."""
    given = f"people, index sha256 {index_hash('people')}"
    write_results(Path(), "b", {}, 0, images=given, models=models)
    return outdated("b", "people")


def test_results_are_out_of_date_once_a_model_of_theirs_is_another() -> None:
    """By its weights' hash, or by what its arrays now say of themselves; each model is asked."""
    aligned("people", ["ann/0"], [0], first=0)
    weights = Path("models/train/weights.safetensors")
    save_weights(weights, {}, {})
    now = {"weights": f"models/train sha256 {sha256(weights)}", "resampler": "pil_bilinear"}
    before = now | {"weights": "models/train sha256 0123"}
    gone = {"weights": "models/gone sha256 0123"}
    scf = {"heads/scf": now}
    assert evaluated(trunk=now, pixels={"side": "112"}, **scf) is None
    assert evaluated(trunk=gone) is None  # weights that are not here tell nothing
    for models in ({"trunk": before} | scf, scf | {"trunk": before}):
        assert evaluated(**models) == "it was evaluated before trunk was computed anew"
    said = Path("data/features/people/heads/scf/model.json")
    said.parent.mkdir(parents=True)
    said.write_text(json.dumps(now))
    assert evaluated(trunk=now, **scf) is None
    said.write_text(json.dumps(now | {"resampler": "nearest"}))
    stale = "it was evaluated before heads/scf was computed anew"
    assert evaluated(trunk=now, **scf) == stale
    assert evaluated(trunk=now) is None  # which does not rest on it


def test_results_of_other_images_are_out_of_date() -> None:
    aligned("people", ["ann/0"], [0], first=0)
    write_results(Path(), "b", {}, 0)
    assert outdated("b", "people") is None
    write_results(Path(), "b", {}, 0, images="others, index sha256 " + index_hash("people"))
    assert outdated("b", "people") == "it was evaluated on other images than are aligned now"
    assert outdated("b", "nobody") == "nobody is not aligned"


def test_what_a_benchmark_was_measured_from_is_told_in_full() -> None:
    lists = {"pairs": "89ab"}
    models, shared = {"trunk": {"weights": "w"}}, [entry(2, 1, training_set="train")]
    write_results(Path(), "b", {}, 0, lists=lists, seed=7, models=models, overlap=shared)
    assert measured_from("b") == [
        ("images", "0123"),
        ("lists", '{"pairs": "89ab"}'),
        ("protocol", "pairs"),
        ("seed", "7"),
        ("shared with train", "2 of 48 images (2 equal files, 1 equal crops); people are not "
         "known by name"),
        ("model trunk", '{"weights": "w"}'),
    ]  # fmt: skip
