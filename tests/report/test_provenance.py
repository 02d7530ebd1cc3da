"""What test sets share with the training set."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.core.weights import save_weights
from stages.datasets._store import ImageSetWriter
from stages.report.provenance import index_hash, overlaps
from tests.datasets.samples import jpeg


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def aligned(name: str, sources: list[str], labels: list[int], first: int) -> None:
    folder = Path("data/align") / name
    folder.mkdir(parents=True)
    with ImageSetWriter(folder, len(sources), folder) as writer:
        for number, (source, label) in enumerate(zip(sources, labels, strict=True), first):
            writer.add(jpeg(number), source, label)


def shared(**formats: str) -> dict[str, str]:
    params = {
        "dataset": "train",
        "trunk": "train",
        "test_sets": [name for name in formats if name != "train"],
        "datasets": {name: {"format": value} for name, value in formats.items()},
    }
    return dict(overlaps(params))


def test_people_are_known_by_their_folders() -> None:
    aligned("train", ["ann/0", "ann/1", "bob/0"], [0, 0, 1], first=0)
    aligned("listed", ["x/bob/7", "x/cid/8", "x/cid/9"], [5, 6, 6], first=2)
    aligned("heap", ["all/1", "all/2"], [0, 1], first=20)
    images = [f"facescrub_images/{name}/0" for name in ("ann", "bob", "dee")]
    aligned("mega", [*images, "megaface_images/eve/0"], [-1] * 4, first=30)
    found = shared(train="folder", listed="list", heap="list", mega="megaface")
    assert found == {
        "shared by train and listed": "1 images; 1 of 2 people of listed",
        "shared by train and heap": "no image; people are not known by name",
        "shared by train and mega": "no image; 2 of 3 people of mega",
    }


def test_what_an_imported_trunk_has_learnt_is_not_compared_with_another_set() -> None:
    aligned("train", ["ann/0"], [0], first=0)
    aligned("test", ["ann/0"], [0], first=0)
    same = {"shared by train and test": "1 images; 1 of 1 people of test"}
    assert shared(train="folder", test="folder") == same
    for learnt, expected in (
        (f"train {index_hash('train')}", same),
        ("ms1mv3", {"shared by ms1mv3 and test": "not known: the images that the trunk has learnt "
                    "are not here"}),
    ):  # fmt: skip
        header = {"contract": {"training_data": learnt}}
        save_weights(Path("models/train/weights.safetensors"), {}, header)
        assert shared(train="folder", test="folder") == expected
