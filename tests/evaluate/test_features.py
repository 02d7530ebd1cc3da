"""Which arrays each row compares, and what computed them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages.core.errors import InputError
from stages.evaluate.features import Features, choose_rows
from stages.evaluate.fusion import fuser
from stages.evaluate.params import Params
from stages.protocols._rows import Rows
from tests.protocols import made

IMAGES, TEMPLATES = 4, 2


def write(folder: Path, *names: str, rows: int = IMAGES) -> None:
    """Arrays `model/name` of ones."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", np.ones((rows, 2), np.float32))


def rows(folder: Path, settings: Params, heads: list[str], external: list[str]) -> Rows:
    return choose_rows(Features(folder, IMAGES, TEMPLATES), settings, [28, 7], heads, external)


def test_every_row_names_the_models_of_its_two_sides(tmp_path: Path) -> None:
    """The first number is the first side; 14 pixels are not among the resolutions."""
    settings = Params(settings=["112&112", "112&7", "7&112", "28&7", "112&14"])
    found = rows(tmp_path, settings, [], ["mine"])
    branch, upsampled = ({r: f"trunk/{kind}_{r}" for r in (28, 7)}
                         for kind in ("branch", "upsampled"))  # fmt: skip
    assert found.settings == {
        "112&112": ("trunk", "trunk"),
        "112&7": ("trunk", branch[7]),
        "7&112": (branch[7], "trunk"),
        "28&7": (branch[28], branch[7]),
        "upsampled 112&7": ("trunk", upsampled[7]),
        "upsampled 7&112": (upsampled[7], "trunk"),
        "upsampled 28&7": (upsampled[28], upsampled[7]),
        "pixels": ("pixels", "pixels"),
        "external mine": ("external_mine", "external_mine"),
    }
    assert found.sizes == {112: "trunk", **branch}
    assert found.upsampled == upsampled
    assert found.external == {"external mine": "external_mine"}


def test_a_descriptor_or_a_confidence_is_that_of_its_head(tmp_path: Path) -> None:
    """The first head that has it gives it its name."""
    write(tmp_path, "trunk/descriptor_mean", rows=TEMPLATES)
    write(tmp_path, "heads/b/descriptor_kappa", "heads/c/descriptor_kappa", rows=TEMPLATES)
    write(tmp_path, "heads/b/kappa", "heads/c/kappa", "heads/a/precision")
    found = rows(tmp_path, Params(), ["a", "b", "c"], [])
    assert found.descriptors == {
        "mean": ("trunk", "mean"),
        "kappa": ("heads/b", "kappa"),
        "kappa c": ("heads/c", "kappa"),
    }
    assert found.heads == {
        "kappa": ("heads/b", "kappa"),
        "kappa c": ("heads/c", "kappa"),
        "precision": ("heads/a", "precision"),
    }


def test_a_likelihood_is_of_its_own_head_and_of_its_kind(tmp_path: Path) -> None:
    """Von Mises-Fisher for kappa, Gaussian for sigma2; of three heads the last two are asked."""
    write(tmp_path, "heads/a/kappa", "heads/b/kappa", "heads/c/sigma2")
    found = rows(tmp_path, Params(likelihoods=["c", "b"]), ["a", "b", "c"], []).likelihoods
    assert {row: (x.model, x.confidence, x.descriptor) for row, x in found.items()} == {
        "likelihood c": ("heads/c", "sigma2", "precision"),
        "likelihood b": ("heads/b", "kappa", "kappa"),
    }
    from stages.heads._scores import Gaussian, VonMises

    vectors, sides = np.eye(2, dtype=np.float32), (np.array([0, 1]), np.array([0, 0]))
    for row, kind in (("likelihood c", Gaussian), ("likelihood b", VonMises)):
        score = found[row].score(vectors, np.array([3.0, 5.0]))
        assert isinstance(score, kind)
        np.testing.assert_array_equal(score(*sides), kind(vectors, np.array([3.0, 5.0]))(*sides))
        lost = found[row].score(vectors, np.array([3.0, 0.0]))  # a template without an image left
        assert np.isfinite(lost(*sides)).all()


def test_the_origins_are_of_all_models_that_were_read_and_of_no_other(tmp_path: Path) -> None:
    write(tmp_path, "trunk/embedding", "trunk/branch_7/embedding", "trunk/branch_7/mirrored")
    write(tmp_path, "trunk/branch_28/embedding", "pixels/embedding")
    for model in ("trunk", "trunk/branch_7", "trunk/branch_28"):
        (tmp_path / model / "model.json").write_text(json.dumps({"weights": model}))
    features = Features(tmp_path, IMAGES, 0)
    for model in ("pixels", "trunk", "trunk/branch_7"):
        features.read(model, "embedding")
    assert features.origins() == {
        "trunk": {"weights": "trunk"},
        "trunk/branch_7": {"weights": "trunk/branch_7"},
    }


def test_arrays_have_a_row_an_image_or_a_row_a_template(tmp_path: Path) -> None:
    for name, count in (("embedding", 4), ("kappa", 4), ("descriptor_mean", 2), ("fused_kappa", 2)):
        for off in (-1, 1):
            write(tmp_path, f"trunk/{name}", rows=count + off)
            with pytest.raises(InputError, match=rf"{name}\.npy: {count + off} rows, not {count}"):
                Features(tmp_path, IMAGES, TEMPLATES).read("trunk", name)
        write(tmp_path, f"trunk/{name}", rows=count)
        assert len(Features(tmp_path, IMAGES, TEMPLATES).read("trunk", name)) == count


def test_images_at_two_resolutions_are_pooled_as_each_descriptor_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of records 5, 6 and 8; template 1 is of 8 and 5, template 3 of 6 and a lost 7.

    Each image is its first vector and the mirrored second one; `norm` sums them, weighted by the
    detector here, `mean` brings them to length 1 before.
    """
    monkeypatch.chdir(tmp_path)
    descriptors = {"mean": {"detector": False}, "norm": {"detector": True}}
    Path("params.yaml").write_text(yaml.safe_dump({"descriptors": descriptors}))
    first = np.array([[3, 0], [0, 1], [0, 2]], np.float32)
    second = np.array([[0, 4], [0, 1], [0, 4]], np.float32)
    for model, name, values in (
        ("trunk", "embedding", first), ("trunk", "mirrored", first + 9),
        ("branch", "embedding", second + 9), ("branch", "mirrored", second),
    ):  # fmt: skip
        (tmp_path / model).mkdir(exist_ok=True)
        np.save(tmp_path / model / f"{name}.npy", values)
    listed = made.tables(
        templates={"record": np.array([8, 5, 6, 7]), "template": np.array([1, 1, 3, 3]),
                   "media": np.arange(4), "score": np.array([0.5, 1, 1, 1])}
    )  # fmt: skip
    index = made.index(3, record=np.array([5, 6, 8]))
    fuse = fuser(Features(tmp_path, 3, 2), listed, index)
    np.testing.assert_allclose(fuse("trunk", "branch", "norm"), [[3, 4 + 0.5 * 6], [0, 2]])
    np.testing.assert_allclose(fuse("trunk", "branch", "mean"), [[0.6, 0.8 + 1], [0, 1]], atol=1e-6)
    descriptors["norm"]["flip"] = False
    Path("params.yaml").write_text(yaml.safe_dump({"descriptors": descriptors}))
    assert fuse("trunk", "branch", "mean").shape == (2, 2)
    with pytest.raises(InputError, match=r"descriptors\.norm: the r2 copy of a fused row"):
        fuse("trunk", "branch", "norm")
