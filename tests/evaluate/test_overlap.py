"""Training images among test images: counted against plain sets of bytes, named, refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.index import read_index, write_index
from stages.datasets._store import ImageSetWriter
from stages.evaluate.__main__ import main, read_tables
from stages.evaluate.overlap import normal, overlaps, people, refuse_training_images, sentences
from stages.protocols._tables import Tables
from tests.datasets.samples import jpeg
from tests.deps import PIPELINE
from tests.protocols import made

Image = tuple[int, int, str, int]  # numbers of the photograph and of its crop, source, label


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, images: list[Image], left_out: int = 0) -> None:
    """An image set whose first `left_out` images have no crop."""
    for stage, first in (("unpack", 0), ("align", left_out)):
        folder = Path("data") / stage / name
        folder.mkdir(parents=True)
        with ImageSetWriter(folder, len(images), folder) as writer:
            for record, (photograph, crop, source, label) in enumerate(images[first:], first):
                payload = jpeg(photograph if stage == "unpack" else crop)
                writer.add(payload, source, label, record=record)


def plain(numbers: range, crops: int = 1000, label: int = -1) -> list[Image]:
    """Photographs with a crop of their own each, of nobody in particular."""
    return [(k, crops + k, f"record {k}", label) for k in numbers]


def index_file(name: str) -> Path:
    return Path("data/align") / name / "index.parquet"


def trained(name: str = "train", digest: str | None = None, **model: Any) -> dict[str, Any]:
    """model.json of a model that learnt a set."""
    return {"contract": {"training_data": f"{name} {digest or sha256(index_file(name))}"}, **model}


def compare(name: str, tables: Tables | None = None, **models: Any) -> list[dict[str, Any]]:
    given = models or {"trunk": trained()}
    return overlaps(name, read_index(index_file(name)), tables or made.tables(), given, "train")


def counts(name: str, **models: Any) -> list[int]:
    (entry,) = compare(name, **models)
    return [entry[key] for key in ("images", "shared", "raw", "crops")]


def test_files_and_crops_are_each_compared_with_those_of_the_training_set() -> None:
    write("train", plain(range(10)))
    write("unseen", plain(range(10, 14)))
    write("same", plain(range(4)))
    write("files", plain(range(2, 5), crops=2000))
    write("crops", [(50 + k, 1000 + k, "", -1) for k in range(3)] + plain(range(60, 62)))
    assert counts("unseen") == [4, 0, 0, 0]
    assert counts("same") == [4, 4, 4, 4]
    assert counts("files") == [3, 3, 3, 0]
    assert counts("crops") == [5, 3, 0, 3]


def test_a_crop_of_one_set_may_be_a_file_of_the_other() -> None:
    """A vendor's pack of crops beside the photographs that they were cut from, either way."""
    write("train", plain(range(3)))
    write("packed", [(1000 + k, 1000 + k, "", -1) for k in range(2)])
    write("photographs", [(1001, 3001, "", -1), (70, 2, "", -1), (71, 3071, "", -1)])
    assert counts("packed") == [2, 2, 0, 2]
    assert counts("photographs") == [3, 2, 0, 0]


def test_an_image_counts_once_and_only_if_it_is_evaluated() -> None:
    """The set holds photograph 3 three times; photographs 0 and 1 have no crop."""
    write("train", plain(range(5)))
    twice = [(3, 2003, "", -1), (3, 2003, "", -1), (3, 1003, "", -1), (9, 2009, "", -1)]
    write("test", [*plain(range(2)), *twice], left_out=2)
    assert counts("test") == [2, 1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_sets_of_bytes(seed: int) -> None:
    random = np.random.default_rng(seed)
    sets = {
        name: [(int(a), int(b), "", -1) for a, b in random.integers(0, 40, (count, 2))]
        for name, count in (("train", 20), ("test", 15))
    }
    for name, images in sets.items():
        write(name, images)
    files, crops = ({jpeg(image[k]) for image in sets["train"]} for k in (0, 1))
    test = {(jpeg(a), jpeg(b)) for a, b, _, _ in sets["test"]}
    assert counts("test") == [
        len({a for a, _ in test}),
        len({a for a, b in test if {a, b} & (files | crops)}),
        len({a for a, _ in test if a in files}),
        len({a for a, b in test if b in crops}),
    ]


def test_every_model_that_was_read_is_asked_and_each_set_named_once() -> None:
    """Models of elsewhere say nothing; pixels have learnt nothing."""
    write("train", plain(range(3)))
    write("test", plain(range(2, 4)))
    digest = sha256(index_file("train"))
    bought = f"imported: r100.pth, sha256 {digest}"
    models = {
        "trunk/branch_7": {"contract": {"training_data": f"{bought}; then train {digest}"}},
        "external_mine": {"file": "mine.npy sha256 0"},
        "old": None,
        "pixels": {"side": 112},
        "silent": {"contract": {"training_data": ""}},
        "trunk": {"contract": {"training_data": bought}},
    }
    found = {entry.pop("training_set"): entry for entry in compare("test", **models)}
    assert found["train"] | {"shared": 1, "images": 2} == found["train"]
    unknown = {"unknown": "its images are not here"}
    models = ("external_mine", "old", "silent")
    assert found == {
        bought: unknown,
        "train": found["train"],
        **{f"the training set of {model}": unknown for model in models},
    }
    assert compare("test", pixels={"side": 112}) == []


def test_images_that_are_not_those_the_model_has_learnt_are_not_compared() -> None:
    write("train", plain(range(3)))
    write("other", plain(range(3)))
    write("test", plain(range(3)))
    (stale,) = compare("test", trunk=trained(digest="0" * 64))
    assert stale["unknown"] == "train holds other images now than the model has learnt"
    (other,) = compare("test", trunk=trained("other"))
    assert other["unknown"] == "set `dataset` to other to have them compared"
    refuse_training_images("mine", "test", [stale, other])


def test_only_a_set_without_any_other_image_is_refused() -> None:
    write("train", plain(range(5)))
    write("all", plain(range(1, 4)))
    write("most", plain(range(1, 7)))
    refuse_training_images("mine", "most", compare("most"))
    with pytest.raises(InputError) as fault:
        refuse_training_images("mine", "all", compare("all"))
    assert "benchmarks.mine.dataset: all 3 images of all are images of train" in str(fault.value)


def test_people_are_the_same_by_name_however_it_is_spelt() -> None:
    write("train", [(0, 0, "Ann_Lee/0", 0), (1, 1, "José/1", 1), (2, 2, "0007/2", 2)])
    images = [(5, 5, "x/ann lee/0", 4), (6, 6, "y/JOSE/1", 5), (7, 7, "0007/2", 6)]
    write("test", [*images, (8, 8, "Eve/3", 7)])
    (entry,) = compare("test")
    expected = {"people": 3, "same_name": 2, "names": ["ann lee", "jose"], "shared": 0}
    assert entry | expected == entry


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ann_Lee", "ann lee"), ("Ann-Lee", " ANN  LEE "), ("Jose\u0301", "JOSÉ"), ("张三", "张三")],
)
def test_names_of_one_person(one: str, other: str) -> None:
    assert normal(one) == normal(other) != ""


def test_names_of_several_people_stay_apart_and_numbers_are_no_names() -> None:
    names = ["Ann Lee", "Annlee", "Ann Lee 2", "n000001", "n000002"]
    assert len({normal(name) for name in names}) == len(names)
    assert {normal(number) for number in ("7", "0007", "12_3", "")} == {""}


@pytest.mark.parametrize(
    ("sources", "labels", "found"),
    [
        (["ann/0", "ann/1", "bob/0"], [0, 0, 1], {"ann", "bob"}),
        (["a/ann/0", "b/ann/1"], [3, 3], {"ann"}),  # one person in two places
        (["ann/0", "also_ann/1"], [0, 0], None),
        (["all/0", "all/1"], [0, 1], None),
        (["ann/0", "bob/0", "ann/1"], [0, 1, 1], None),
        (["image 0", "image 1"], [0, 1], None),
        (["ann/0", "crowd/1", "crowd/2"], [0, -1, -1], {"ann"}),
        (["crowd/1"], [-1], None),
        (["1/a", "2/b"], [0, 1], None),
    ],
)
def test_a_folder_names_a_person_if_it_is_of_one(sources, labels, found) -> None:
    assert people(sources, np.array(labels)) == found


def test_a_protocol_list_may_say_who_is_on_an_image() -> None:
    """MegaFace's probes are people; its distractors, and QMUL's roles, are not."""
    write("train", [(0, 0, "ann/0", 0), (1, 1, "bob/1", 1)])
    images = [(9 + k, 9 + k, f"facescrub_images/{name}/0", -1) for k, name in enumerate("ABC")]
    images[1:2] = [(20, 20, "facescrub_images/Bob/0", -1)]
    write("mega", [*images, (30, 30, "megaface_images/ann/0", -1)], left_out=1)
    subject = {"record": np.arange(4), "subject": np.array([0, 1, 2, -1])}
    (entry,) = compare("mega", made.tables(pairs={"first": np.zeros(1)}, distractors=subject))
    assert [entry["people"], entry["same_name"], entry["names"]] == [2, 1, ["bob"]]
    write("roles", [(40 + k, 40 + k, f"gallery/{k}", -1) for k in range(4)])
    (entry,) = compare("roles", made.tables(surveillance=subject))
    assert entry["people"] is entry["same_name"] is None


def test_an_index_of_other_text_is_named() -> None:
    write("train", plain(range(2)))
    write("test", plain(range(2)))
    for wrong in ("no SHA-1", "ab"):
        columns = {"sha1": np.array([wrong] * 2, object)}
        write_index(Path("data/unpack/train/index.parquet"), made.index(2, **columns))
        with pytest.raises(InputError, match=r"unpack/train/index.parquet: its column sha1"):
            compare("test")


def test_the_counts_in_words() -> None:
    known = {"training_set": "train", "images": 60, "shared": 3, "raw": 2, "crops": 1}
    named = {"people": 9, "same_name": 1, "names": ["ann"]}
    nobody = {"people": None, "same_name": None, "names": []}
    unknown = {"training_set": "imported: a.pth", "unknown": "its images are not here"}
    text = "3 of 60 images of test are training images of train (2 equal files, 1 equal crops); "
    assert sentences("test", [known | named, known | nobody, unknown]) == [
        text + "1 of 9 people are in both by name (ann)",
        text + "the two sets do not both name their people",
        "unknown whether images of test are training images of imported: a.pth: "
        "its images are not here",
    ]


def project(photographs: range) -> None:
    """params.yaml, a training set of eight images, a test set, and its features."""
    write("train", plain(range(8)))
    people = [(k, 1000 + k, f"p{k // 2}/{k}", k // 2) for k in photographs]
    write("test", people)
    folder = Path("data/features/test/trunk")
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    arrays = made.faces(random, np.array([label for *_, label in people]), 0.5)
    for name in ("embedding", "mirrored"):
        np.save(folder / f"{name}.npy", arrays)
    np.save(folder / "norm.npy", np.linalg.norm(arrays, axis=1))
    (folder / "model.json").write_text(json.dumps(trained()))
    params = {
        "dataset": "train", "resolutions": [], "heads": [],
        "evaluate": {"bootstrap": 100, "settings": ["112&112"], "baselines": []},
        "benchmarks": {"mine": {"protocol": "all_pairs", "dataset": "test"}},
    }  # fmt: skip
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("data/unpack/test/tables").mkdir()


def test_evaluate_says_and_keeps_what_the_sets_share(capsys: pytest.CaptureFixture[str]) -> None:
    project(range(6, 12))
    main("mine")
    said = "mine: 2 of 6 images of test are training images of train (2 equal files, 2 equal crops)"
    assert said in capsys.readouterr().err
    written = json.loads(Path("metrics/evaluate/mine.intervals.json").read_text())
    (entry,) = written["provenance"]["overlap"]
    assert entry == {
        "training_set": "train", "images": 6, "shared": 2, "raw": 2, "crops": 2,
        "people": None, "same_name": None, "names": [],
    }  # fmt: skip
    assert set(json.loads(Path("metrics/evaluate/mine.json").read_text())["mine"]) == {"112&112"}


def test_evaluate_refuses_a_test_set_that_the_model_has_learnt() -> None:
    project(range(2, 8))
    with pytest.raises(InputError, match=r"all 6 images of test are images of train.*part: test"):
        main("mine")
    assert not Path("metrics").exists()
    assert not Path("plots").exists()


def test_evaluate_depends_on_the_images_that_it_compares() -> None:
    stage = PIPELINE["evaluate"]["do"]
    sets = ("${dataset}", "${item.dataset}")
    wanted = {f"data/{kind}/{name}/index.parquet" for kind in ("unpack", "align") for name in sets}
    assert wanted <= {*stage["deps"]}
    assert "dataset" in stage["params"]


def test_the_digest_is_the_one_of_the_index() -> None:
    """What the index holds is SHA-1 of the bytes, so that equal hashes are equal images."""
    write("train", plain(range(2)))
    for stage, first in (("unpack", 0), ("align", 1000)):
        index = read_index(Path("data") / stage / "train/index.parquet")
        expected = [hashlib.sha1(jpeg(first + k)).hexdigest() for k in range(2)]
        assert index.sha1.tolist() == expected
    assert read_tables(Path("data/unpack/train/tables")).lists == {}
